//! What the scheduler asks of the lane's runner, and what it reports to it.

use tokio::time::Instant;

use crate::freshsales::Call;
use crate::lane::contact::bulk::features::BulkFeature;
use crate::mapping::Omitted;
use crate::outcome::Outcome;
use crate::schema::{Entity, Selector};

/// What to do now.
#[derive(Debug)]
pub enum Next {
    /// Send this call, and hand in its answer under this number.
    Send(u64, Call),
    /// Nothing can be sent before this time, an answer or another event.
    Wait(Option<Instant>),
}

/// What happened, after an answer or without one.
#[derive(Debug)]
pub enum Effect<D> {
    /// An event ended.
    Settled {
        /// The event's delivery.
        delivery: D,
        /// How it ended.
        outcome: Outcome,
        /// Calls that were made for it.
        attempts: u32,
    },
    /// Reports of bulk upserts are of no use, so records go one by one for a while.
    BulkGivenUp,
    /// Bulk upserts are refused because too many jobs of the account run.
    TooManyJobs(WhileJobsRun),
    /// This many identifies were merged into others.
    Coalesced(u64),
    /// The record is written without this: a value that Freshsales refuses, or a whole sales account or deal that the API
    /// key may not write.
    LeftOut(Omitted),
    /// Freshsales was asked for a contact's deals and did not show them.
    DealsNotShown,
    /// An answer shows for the first time whether the account honours something that bulk needs.
    BulkFeature(BulkFeature, bool),
    /// The answer to [`read_fields`](super::Scheduler::read_fields), or the status it was refused with.
    Fields(Entity, Result<serde_json::Value, u16>),
    /// The answer to [`read_selector`](super::Scheduler::read_selector), or the status it was refused with.
    Selector(Selector, Result<serde_json::Value, u16>),
}

/// What records do while too many bulk jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhileJobsRun {
    /// They wait for a job to end.
    Wait,
    /// The refusals have lasted long: they go one by one until a bulk upsert is accepted.
    GoOneByOne,
}
