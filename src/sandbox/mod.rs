//! A local stand-in for one Freshsales account: for trials, demos, staging and tests.
//!
//! It answers what is known of the real API, with the same refusals and the same silent losses, and
//! misbehaves on demand. Where the real answer is unknown it takes the stricter one, so that a mistake
//! in what is sent shows here first. It keeps everything in memory and must never be put before real
//! data. `freshet sandbox`, `freshet demo` and the tests call it.

mod account;
mod admin;
mod habits;
pub(super) mod http;
pub(super) mod metadata;
mod options;
mod server;
mod tests;

pub use crate::sandbox::metadata::fields::{FieldFiles, FieldsError, Form};
pub use habits::{CustomFieldsOnPut, EmailsOnPut, IncludedDeals, JobReport, Language, SearchInclude};
pub use options::Options;
pub use server::{Sandbox, serve};
