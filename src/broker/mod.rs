//! RabbitMQ: from the intake queue to the lanes, and from their outcomes to acknowledgements and dead letters.
//! The only user of `lapin`. Beside it the file feed, which takes RabbitMQ's place.
//!
//! ```text
//! Q ─► router ─► Q.lane.<account> ─► consumer ─► lane ─► settlement ─► ack | Q.dead
//! ```
//!
//! Knows events only as far as it takes to find their account; never what a lane does with them.

mod acks;
mod address;
mod caution;
mod claim;
mod consumer;
#[cfg(test)]
mod cost_tests;
mod dead_letter;
mod directory;
mod feed;
mod fitting;
#[cfg(test)]
mod fuzz_tests;
mod held;
mod hunger;
mod inspect;
mod letter;
mod lifeline;
mod lines;
mod link;
mod names;
mod outbox;
mod packed;
mod post;
mod progress;
mod publisher;
mod pulse;
mod quarantine;
mod republish;
mod router;
mod session;
mod settling;
mod sorting;
mod topology;
mod transport;
mod unreadable;

pub use address::{Address, AddressError, Addresses};
pub use directory::{Claims, Directory};
pub use feed::{Feed, FeedError, Keep};
pub use held::Held;
pub use letter::Letter;
pub use link::{Link, LinkView};
pub use names::{Names, priority};
pub use progress::{Counts, Progress};
pub use publisher::{PublishError, Published, Publisher};
pub use session::{Broker, LaneDoor};

/// The label of events whose account is not known.
pub const UNROUTED: &str = "_unrouted";
