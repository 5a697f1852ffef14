//! Records that go together in one bulk upsert: which steps may, when bulk calls are of use, and what a job's report says
//! of each record. Pure. The scheduler collects the records and sends the call.
//!
//! A bulk call costs itself and at least one question about its job, and its report names no ids: so only records that
//! need nothing from the answer go in one, and at least [`FEWEST`] of them.

pub(in crate::lane) mod eligible;
pub(in crate::lane) mod features;
pub(in crate::lane) mod job_polling;
pub(in crate::lane) mod policy;
pub(in crate::lane) mod report;

/// The most records of one bulk call.
pub(in crate::lane) const MOST_RECORDS: usize = 100;
/// Fewer records are cheaper one by one.
pub(in crate::lane) const FEWEST: usize = 3;
