//! The sandbox over real HTTP: what it refuses, what it loses without a word, how it misbehaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop where it is"
)]

mod account;
mod companies_and_deals;
mod contacts;
mod examples;
mod faults;
mod finding;
mod jobs;
mod page;
mod related;
mod requests;
mod selectors;
mod settings;
mod unique;
mod values;
