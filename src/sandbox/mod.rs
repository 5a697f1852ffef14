//! A local stand-in for one Freshsales account: for trials, demos, staging and tests.
//!
//! It answers what is known of the real API, with the same refusals and the same silent losses, and
//! misbehaves on demand. Where the real answer is unknown it takes the stricter one, so that a mistake
//! in what is sent shows here first. It keeps everything in memory and must never be put before real
//! data. `freshet sandbox`, `freshet demo` and the tests call it.

mod addresses;
mod admin;
mod answer;
mod bulk;
mod clock;
mod connection;
mod contacts;
mod deals;
mod endpoint;
mod faults;
mod fields;
#[cfg(test)]
mod fuzz_tests;
mod habits;
mod journal;
mod lag;
mod language;
mod limit;
mod options;
mod page;
mod records;
mod related;
mod render;
mod request;
mod search;
mod selectors;
mod server;
mod stages;
mod state;
mod store;
mod tracking;
mod unique;
mod validate;
mod values;

pub use fields::{FieldFiles, FieldsError, Form};
pub use habits::{CustomFieldsOnPut, EmailsOnPut, IncludedDeals, JobReport, Language, SearchInclude};
pub use options::Options;
pub use server::{Sandbox, serve};
