//! Freshet carries Segment events from a RabbitMQ queue into Freshsales accounts.
//!
//! How data flows, and which room may know which, stands in `docs/ARCHITECTURE.md`.
//! The library exists for the binary and its tests; its interface is not a promise.

pub mod backoff;
pub mod broker;
pub mod cli;
pub mod config;
#[cfg(test)]
mod cost;
pub mod dead_letter;
pub mod delivery;
pub mod file_feed;
pub mod freshsales;
#[cfg(test)]
mod fuzz;
pub mod json;
pub mod lane;
pub mod mapping;
pub mod mask;
pub mod metrics;
pub mod object;
pub mod outcome;
pub mod routing;
pub mod sandbox;
pub mod schema;
pub mod segment;
pub mod status;
pub mod telemetry;
pub mod tls;
