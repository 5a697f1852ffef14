//! Records that go together in one bulk upsert: which steps may, when bulk calls are of use, and what a job's report says
//! of each record. Pure. The scheduler collects the records and sends the call.
//!
//! A bulk call costs itself and at least one question about its job, so at least [`FEWEST`] records go in one. Its report
//! names no ids: what is needed of a record is read before, or its id after, a hundred records at a time ([`eligible`]).

pub(in crate::lane) mod eligible;
pub(in crate::lane) mod features;
pub(in crate::lane) mod holds;
pub(in crate::lane) mod job_slots;
pub(in crate::lane) mod policy;
pub(in crate::lane) mod report;
pub(in crate::lane) mod searching;
pub(in crate::lane) mod standing;
pub(in crate::lane) mod usual_wait;

/// The most records of one bulk call.
pub(in crate::lane) const MOST_RECORDS: usize = 100;
/// Fewer records are cheaper one by one.
pub(in crate::lane) const FEWEST: usize = 3;
/// Fewer ids are cheaper one by one: a single upsert answers with the id at once.
pub(in crate::lane) const FEWEST_IDS: usize = 2;
