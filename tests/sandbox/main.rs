//! The sandbox over HTTP: what it refuses, what it ignores without an error, how it misbehaves on demand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop where it is"
)]

mod account;
mod contacts;
mod examples;
mod faults;
mod jobs;
mod page;
mod related;
mod requests;
mod sales_accounts_and_deals;
mod search;
mod selectors;
mod settings;
mod unique;
mod values;
