//! What an answer makes of a contact's work: functions of the work item, the answer, and what the lane remembers. They
//! send nothing and settle nothing; the scheduler does what they return.
//!
//! [`success`] and [`refusal`] hold the way of a step whose call was accepted or refused, [`plausible`] rejects answers to
//! another question, and [`reread`] says what is read before a failed call is sent again.

pub(in crate::lane) mod plausible;
pub(in crate::lane) mod refusal;
pub(in crate::lane) mod reread;
pub(in crate::lane) mod success;

use std::time::Duration;

use tokio::time::Instant;

use super::cache::contacts::LearningTimes;
use super::cache::identities::IdentityCache;
use super::cache::records::RecordCache;
use crate::config::DealIdentity;
use crate::mapping::{InvalidValue, Omitted};
use crate::outcome::Outcome;

/// What steps look at, and what they learn, beside their work item.
#[derive(Debug)]
pub(in crate::lane) struct StepContext<'a> {
    pub(in crate::lane) records: &'a mut RecordCache,
    pub(in crate::lane) identities: &'a mut IdentityCache,
    pub(in crate::lane) deal_identity: DealIdentity,
    /// `Omit` also leaves out a sales account or a deal that the API key may not write.
    pub(in crate::lane) invalid_value: InvalidValue,
    /// How long after a write a look-up finds it.
    pub(in crate::lane) look_up_delay: Duration,
    /// How long after a write a search usually finds it.
    pub(in crate::lane) usual_search_wait: Duration,
    /// From then on look-ups find all that another replica wrote before the lane came here.
    pub(in crate::lane) look_ups_complete_at: Instant,
    pub(in crate::lane) now: Instant,
}

impl StepContext<'_> {
    pub(in crate::lane) fn times(&self) -> LearningTimes {
        LearningTimes { now: self.now, search_delay: self.look_up_delay }
    }
}

/// What the scheduler does next with a work item.
#[derive(Debug)]
pub(in crate::lane) enum StepProgress {
    /// It has entered a step, or begun again.
    Entered,
    /// Its step needs one more call.
    OneMoreCall,
    /// Its step's look-up is to be made at this time.
    LookUpAt(Instant),
    Finished(Outcome),
}

/// What came of an answer.
#[derive(Debug)]
pub(in crate::lane) struct Advance {
    pub(in crate::lane) progress: StepProgress,
    /// Values that are left out of a record, to be counted and logged.
    pub(in crate::lane) omitted: Vec<Omitted>,
    pub(in crate::lane) deals: Deals,
}

/// Whether an answer that was asked for a contact's deals showed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum Deals {
    ShownOrNotAsked,
    NotShown,
}

impl From<StepProgress> for Advance {
    fn from(progress: StepProgress) -> Self {
        Self { progress, omitted: Vec::new(), deals: Deals::ShownOrNotAsked }
    }
}
