//! One lane against one account that misbehaves: deliveries are handed over and settled by hand, without a broker.
//! In `broker.rs` the other side: a real RabbitMQ, and the lane played by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "in a test, a panic is the verdict"
)]
#![allow(
    clippy::float_cmp,
    clippy::needless_pass_by_value,
    reason = "counters hold whole numbers, and events are written where they are sent"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod broker;
mod bulk;
mod doubted;
mod duplicates;
mod explained;
mod failures;
mod front;
mod gathering;
mod hostile;
mod identity;
mod limits;
mod meddling;
mod order;
mod quota;
mod records;
mod rig;
mod selectors;
mod sessions;
mod stuck;
mod transport;
