//! Freshet carries Segment events from a RabbitMQ queue into Freshsales accounts.
//!
//! How data flows, and which room may know which, stands in `docs/ARCHITECTURE.md`.
//! The library exists for the binary and its tests; its interface is not a promise.

pub mod mapping;
pub mod outcome;
pub mod sandbox;
pub mod schema;
pub mod segment;
