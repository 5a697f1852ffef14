//! The daemon as users run it: a real RabbitMQ, the real binary, sandboxes in Freshsales' place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "in a test, a panic is the verdict"
)]
#![allow(clippy::float_cmp, reason = "metrics that are compared hold whole numbers")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` where it is used reads best without a reference")]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod batches;
mod broker_states;
mod calls;
mod check;
mod cluster;
mod commands;
mod dead_letters;
mod definitions;
mod dip;
mod disturbance;
mod documented;
mod doubled;
mod dropped_letters;
mod events;
mod explain;
mod exported_letters;
mod faults;
mod features;
mod feed;
mod files;
mod fleet;
mod foreign_queues;
mod forged;
mod identity;
mod judged_letters;
mod languages;
mod letters;
mod limits;
mod logs;
mod many_letters;
mod memory;
mod pages;
mod peers;
mod poison;
mod records;
mod reload;
mod replicas;
mod rolling;
mod scale;
mod senders;
mod shapes;
mod skips;
mod spread;
mod status_command;
mod stopped_letters;
mod throughput;
mod tls;
mod topology;
mod tutorial;
mod unanswered;
mod unreadable;
mod world;
