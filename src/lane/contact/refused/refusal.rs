//! Why a call came to nothing, and what a dead letter says of it. Pure data; made by the scheduler of an answer, read by
//! the steps.

use crate::freshsales::EndpointFamily;
use crate::outcome::{DeadLetterReason, Outcome, Problem, Refusal};

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) struct RefusedCall {
    /// The HTTP status, where there was an answer.
    pub(in crate::lane) status: Option<u16>,
    pub(in crate::lane) ground: Ground,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) enum Ground {
    /// Freshsales refused the record; its messages.
    Rejected(Vec<String>),
    /// The key has no right to the call: the permission that is missing, where it is one, and Freshsales' messages.
    Denied(Option<EndpointFamily>, Vec<String>),
    /// Something before Freshsales lets every other call through; what it answered.
    Blocked(String),
    /// The call failed for too long; how.
    Undeliverable(String),
}

/// Whether a record refused with this status may be accepted with a change. One that is too large (413) only grows by a
/// default.
pub(in crate::lane) const fn is_mendable(status: Option<u16>) -> bool {
    matches!(status, Some(400 | 409 | 422))
}

impl RefusedCall {
    pub(in crate::lane) fn rejected(status: u16, messages: Vec<String>) -> Self {
        Self { status: Some(status), ground: Ground::Rejected(messages) }
    }

    /// A call that is given up without anything to say about the record.
    pub(in crate::lane) fn given_up() -> Self {
        Self { status: None, ground: Ground::Rejected(Vec::new()) }
    }

    /// Whether Freshsales itself refused the record.
    pub(in crate::lane) const fn is_rejection(&self) -> bool {
        matches!(self.ground, Ground::Rejected(_))
    }

    /// Whether Freshsales refused the record in a way that a change of the record may mend.
    pub(in crate::lane) const fn may_be_mended(&self) -> bool {
        self.is_rejection() && is_mendable(self.status)
    }

    /// Whether it says that the record of the call's id does not exist.
    pub(in crate::lane) const fn says_not_found(&self) -> bool {
        matches!(self.status, Some(404 | 410))
    }

    /// The dead letter's reason and problems; `subject` is what was refused, such as "contact".
    pub(in crate::lane) fn into_refusal(self, subject: &str) -> Refusal {
        let problem =
            |problem: String, expected: Option<String>| Problem { problem, expected, ..Problem::default() };
        let quoted = |messages: Vec<String>, expected: &Option<String>| {
            let quote =
                |message| problem(format!("Freshsales refused the {subject}: {message}"), expected.clone());
            messages.into_iter().map(quote).collect()
        };
        let (reason, problems) = match self.ground {
            Ground::Rejected(messages) => (DeadLetterReason::Rejected, quoted(messages, &None)),
            Ground::Denied(family, messages) => {
                let expected =
                    family.map(|family| format!("an API key whose user may {}", family.permission()));
                (DeadLetterReason::Rejected, quoted(messages, &expected))
            }
            Ground::Blocked(what) => {
                (DeadLetterReason::Rejected, vec![problem(format!("the {subject} {what}"), None)])
            }
            Ground::Undeliverable(what) => {
                (DeadLetterReason::Undeliverable, vec![problem(format!("the {subject} {what}"), None)])
            }
        };
        Refusal { reason, problems, http_status: self.status }
    }
}

/// Whether Freshsales refused a record for a value that it holds or lacks.
pub(in crate::lane) fn is_refused_record(outcome: &Outcome) -> bool {
    let Outcome::DeadLetter(refusal) = outcome else { return false };
    refusal.reason == DeadLetterReason::Rejected && is_mendable(refusal.http_status)
}
