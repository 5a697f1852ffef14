//! Freshet carries Segment events from a RabbitMQ queue into Freshsales accounts.
//!
//! ```text
//! Q ─► broker/router ─► Q.lane.<account> ─► broker/lane_consumer ─► lane ─► freshsales
//!           │                                      │                 │
//!           └──────────► Q.dead ◄──────────────────┘ ◄── settlement ─┘
//! ```
//!
//! * Sources: [`broker`] is RabbitMQ, [`file_feed`] a file in its place. Both find an event's account with [`routing`], and
//!   hand [`delivery`] objects to the lanes. A [`dead_letter`] is what either keeps of an event that is not delivered.
//! * A [`lane`] works for one account: it decodes events ([`segment`]), maps them to the account's fields ([`mapping`] with
//!   the [`schema`]), and decides which call goes next ([`lane::Scheduler`]).
//! * [`freshsales`] sends one call and says what its answer means. It never retries: the lane does.
//! * Every event ends in one [`outcome`]. [`metrics`], [`status`] and [`telemetry`] show what happens.
//! * [`config`] has every setting; [`cli`] the commands, which put the rooms together. [`sandbox`] stands in for Freshsales.
//!
//! A glossary, and three walk-throughs, are in `docs/ARCHITECTURE.md`. The library exists for the binary and its tests; its
//! interface is not a promise.

pub mod backoff;
pub mod broker;
pub mod check;
pub mod cli;
pub mod config;
#[cfg(test)]
mod cost;
pub mod dead_letter;
pub mod delivery;
pub mod explain;
pub mod file_feed;
pub mod fleet;
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
pub mod runtime;
pub mod sandbox;
pub mod schema;
pub mod segment;
pub mod status;
pub mod telemetry;
pub mod tls;
mod words;
