//! RabbitMQ: from the intake queue to the lanes, and from their outcomes to acknowledgements and dead letters.
//! The only user of `lapin`.
//!
//! ```text
//! Q ─► router ─► Q.lane.<account> ─► consumer ─► lane ─► settlement ─► ack | Q.dead
//! ```
//!
//! Knows events only as far as it takes to find their account; never what a lane does with them.

pub(crate) mod amqp;
mod consuming;
mod context;
#[cfg(test)]
mod cost_tests;
mod error;
#[cfg(test)]
mod fuzz_tests;
mod health;
mod inspect;
mod intake_publisher;
mod lane_consumer;
pub(crate) mod names;
pub(super) mod probes;
pub(crate) mod publishing;
mod router;
mod session;
mod timing;
mod topology;
mod transport;
mod unreadable;

pub use crate::broker::amqp::addresses::{Address, AddressError, Addresses};
pub use context::Context;
pub use health::{BrokerHealth, HealthView};
pub use intake_publisher::{PublishError, Published, Publisher};
pub use names::{Names, priority};
pub use session::run;
