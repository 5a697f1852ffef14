//! Which record an event reaches, and that nothing there is doubled, mixed up with another's, or written over.

mod activities;
mod address_changes;
mod deals_of_contacts;
mod meddling;
mod tags_appended;
mod two_addresses;
