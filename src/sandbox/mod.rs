//! A local stand-in for one Freshsales account: for trials, demos, staging and tests.
//!
//! It answers what is known of the real API, with the same errors and the same silent losses, and misbehaves on demand.
//! Where the real answer is unknown it takes the stricter one, so that a mistake in what is sent shows here first. It
//! keeps everything in memory and must never be put before real data. `freshet sandbox`, `freshet demo` and the tests
//! call it.
//!
//! A request comes in through `server`, is matched and metered in `http`, and is answered by `account`, which knows
//! nothing of HTTP paths. `admin` is what the real API does not have: the page for people, and the switches for tests.

mod account;
mod admin;
mod http;
mod metadata;
mod options;
mod server;

pub use metadata::fields::{FieldFiles, FieldsError};
pub use options::{
    Admission, BulkLinks, CustomFieldsOnPut, EmailsOnPut, IncludedDeals, JobOptions, JobReport, Language,
    Locale, Options, ReadOptions, SearchFilter, SearchInclude, WriteOptions,
};
pub use server::{Sandbox, serve};

#[cfg(test)]
mod tests {
    mod fuzz;
    mod index;
    mod routes;
    mod subject;
}
