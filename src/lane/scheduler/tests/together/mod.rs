//! Many contacts in one call: which deliveries a call waits for, what is read and written together, and how many jobs may
//! run.

mod finding;
mod gathering;
mod many_jobs;
pub(super) mod reading;
