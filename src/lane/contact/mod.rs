//! One contact at a time: what is written for its events, step by step, and what an answer makes of it.
//!
//! Pure: nothing is sent here, and time is handed in. The scheduler takes events out of its window as a
//! [`work_item`], asks for the call of its step ([`contact_work`], [`activity`]), and hands the answer to [`steps`], which
//! decide the next [`step`]. [`bulk`] says which steps can go in one call. Knows Freshsales' calls and what mapping made
//! of an event; never the window, the quota or other contacts.

pub(super) mod activity;
pub(super) mod address_change;
pub(super) mod bodies;
pub(super) mod bulk;
pub(super) mod cache;
pub(super) mod contact_work;
pub(super) mod deals;
pub(super) mod held;
pub(super) mod merge;
pub(super) mod refused;
pub(super) mod step;
pub(super) mod steps;
pub(super) mod tags;
pub(super) mod work_item;
