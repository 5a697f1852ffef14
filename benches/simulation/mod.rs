//! Runs the real scheduler and quota against a model of the API, with a clock that jumps from one happening to the next.
//!
//! [`api`] is the API before the [`account`], whose [`endpoints`] answer calls; [`search_lag`] is what search shows late.
//! [`traffic`] makes the events, [`run`] gives them to the scheduler. [`clients`] are other clients, to compare with.
//! [`days`], [`kinds`] and [`costs`] are the tables, [`report`] prints them, [`checks`] tests the model itself.

pub mod account;
pub mod api;
pub mod checks;
pub mod clients;
pub mod costs;
pub mod days;
pub mod endpoints;
pub mod kinds;
pub mod report;
pub mod run;
pub mod search_lag;
pub mod traffic;

use std::time::Duration;

pub const HOUR: Duration = Duration::from_hours(1);
/// The part of an account's quota that Freshet may use.
pub const SHARE: f64 = 0.9;
pub const CONCURRENCY: usize = 8;
/// The default of `bulk_jobs`.
pub const BULK_JOBS: usize = 6;
/// The default of `broker.prefetch`.
pub const PREFETCH: usize = 1000;
