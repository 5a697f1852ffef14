//! Asks an account what shows that it can be written to, by calls that change nothing. One after another, so that an
//! account has one connection and few calls, and the first that nobody answers is the last.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::tried::{FieldsTried, RightsTried, Tried};
use crate::freshsales::{
    Call, Client, ContactRows, Endpoint, NoAnswer, RateLimit, Reached, UnavailableCause, Unreached, Verdict,
    classify, found_contacts,
};
use crate::schema::Entity;

/// The most calls that are made of an account's quota.
pub const CALLS: u32 = 9;
/// For all calls of one account.
const TIME: Duration = Duration::from_secs(30);
/// For one call.
const CALL_TIME: Duration = Duration::from_secs(10);
/// Accounts that are asked at once: each has one connection.
const AT_ONCE: usize = 64;
/// Freshsales' ids have many more digits. Whether there is such a record does not matter.
const SOME_ID: i64 = 1;
/// An address that no contact has.
const NOBODY: &str = "nobody@freshet.invalid";

/// How many accounts are asked at once.
pub const fn accounts_at_once() -> usize {
    AT_ONCE
}

/// Why the attempts ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndedEarly {
    /// Nobody answered, at the first call or later.
    Unreached(Unreached),
    /// The key is not accepted.
    Unauthorized(u16),
    /// No calls are left, or too few.
    NoQuota(Option<Duration>),
    /// Something else than Freshsales answered: what, and what to check.
    NotFreshsales(String, &'static str),
    /// Freshsales is in trouble.
    Unavailable(String),
}

/// All that an account answered.
#[derive(Debug, Default)]
pub struct AccountAnswers {
    #[expect(missing_docs, reason = "described at its type")]
    pub server: ServerSeen,
    /// Whether Freshsales itself answered a call with this key.
    pub accepted: bool,
    #[expect(missing_docs, reason = "described at its type")]
    pub ended_early: Option<EndedEarly>,
    /// The latest that the headers said.
    pub quota: RateLimit,
    #[expect(missing_docs, reason = "described at its type")]
    pub fields: FieldsTried,
    #[expect(missing_docs, reason = "described at its type")]
    pub rights: RightsTried,
}

/// What every answer shows of the server, whatever it says.
#[derive(Debug, Default)]
pub struct ServerSeen {
    /// Whether anything answered.
    pub reached: bool,
    /// In DER, where there is TLS.
    pub certificate: Option<Vec<u8>>,
    /// How far its clock is ahead of this machine's, in seconds.
    pub clock_ahead: Option<i64>,
    /// Where a redirect leads.
    pub redirected_to: Option<String>,
}

impl AccountAnswers {
    /// Makes the calls. Ends within half a minute.
    pub async fn ask(client: &Client) -> Self {
        let mut answers = Self::default();
        let deadline = Instant::now() + TIME;
        let calls = Entity::ALL.iter().map(|entity| Call::fields(*entity));
        let calls = calls.chain(Entity::ALL.iter().map(|entity| Call::read(*entity, SOME_ID)));
        let calls = calls.chain([
            Call::lookup_email(NOBODY),
            Call::job_status("1"),
            Call::search(Entity::Contact, &[NOBODY]),
        ]);
        for (call, left) in calls.zip((0..CALLS).rev()) {
            let until = deadline.min(Instant::now() + CALL_TIME);
            let reached = tokio::time::timeout_at(until, client.reach(&call)).await;
            let reached = reached.unwrap_or_else(|_| Err(late()));
            match reached {
                Ok(reached) => answers.take(&call, reached),
                Err(unreached) => answers.ended_early = Some(EndedEarly::Unreached(unreached)),
            }
            if answers.ended_early.is_none()
                && answers.quota.remaining.is_some_and(|remaining| remaining < left)
            {
                answers.ended_early = Some(EndedEarly::NoQuota(answers.quota.reset));
            }
            if answers.ended_early.is_some() {
                break;
            }
        }
        answers
    }

    fn take(&mut self, call: &Call, reached: Reached) {
        self.server.see(&reached);
        let answer = reached.response.parse();
        if answer.rate_limit != RateLimit::default() {
            self.quota = answer.rate_limit;
        }
        let status = answer.status;
        let tried = match classify(call.endpoint, Ok::<_, NoAnswer>(answer)) {
            Verdict::Done(body) => Tried::Works(body),
            // The record, or the job, is not there, and this key may ask for it.
            Verdict::Refused { .. } if call.endpoint.has_record_id() => Tried::Works(Value::Null),
            Verdict::Refused { status, messages } => {
                Tried::Odd(format!("status {status}: {}", messages.join("; ")))
            }
            Verdict::Denied { status: 403, messages } => Tried::Forbidden(messages.join("; ")),
            Verdict::Denied { status, .. } => Tried::Odd(format!("status {status}: there is no such path")),
            Verdict::Unauthorized { status } => {
                self.ended_early = Some(EndedEarly::Unauthorized(status));
                return;
            }
            Verdict::Throttled { retry_after } => {
                self.accepted |= self.quota.limit.is_some();
                self.ended_early = Some(EndedEarly::NoQuota(retry_after.or(self.quota.reset)));
                return;
            }
            Verdict::TooManyJobs => Tried::Odd(format!("status {status}")),
            // A firewall may keep single paths; if it keeps the first, it keeps all.
            Verdict::Unrecognized(what) if self.accepted => Tried::Odd(what.to_string()),
            Verdict::Unrecognized(what) => {
                self.ended_early = Some(EndedEarly::NotFreshsales(what.to_string(), what.advice()));
                return;
            }
            Verdict::Unavailable { cause, .. } => {
                self.ended_early = Some(EndedEarly::Unavailable(unavailable(cause)));
                return;
            }
        };
        self.accepted = true;
        self.keep(call.endpoint, tried);
    }

    fn keep(&mut self, endpoint: Endpoint, tried: Tried<Value>) {
        let rights = &mut self.rights;
        let right = match endpoint {
            Endpoint::Fields(entity) => return self.fields.keep(entity, tried),
            Endpoint::ContactRead => rights.records.of_mut(Entity::Contact),
            Endpoint::SalesAccountRead => rights.records.of_mut(Entity::SalesAccount),
            Endpoint::DealRead => rights.records.of_mut(Entity::Deal),
            Endpoint::Lookup => &mut rights.lookup,
            Endpoint::JobStatus => &mut rights.jobs,
            Endpoint::Search(_) => {
                rights.search = tried.and_then(|body| believed(&body));
                return;
            }
            // Not called here.
            Endpoint::Selector(_)
            | Endpoint::Upsert(_)
            | Endpoint::BulkUpsert(_)
            | Endpoint::ContactUpdate
            | Endpoint::SalesAccountUpdate
            | Endpoint::DealCreate
            | Endpoint::DealUpdate
            | Endpoint::TrackEvent
            | Endpoint::TrackPageView => return,
        };
        *right = tried.and_then(|_| Tried::Works(()));
    }
}

impl ServerSeen {
    fn see(&mut self, reached: &Reached) {
        self.reached = true;
        if let Some(ahead) = reached.server_time.map(|time| ahead(time, reached.between)) {
            self.clock_ahead.get_or_insert(ahead);
        }
        self.certificate = reached.certificate.clone().or(self.certificate.take());
        self.redirected_to = reached.redirected_to.clone().or(self.redirected_to.take());
    }
}

/// Whether the answer to a search for nobody shows that searches can be believed.
fn believed(body: &Value) -> Tried<()> {
    let why = match found_contacts(body) {
        None => "the answer has no list of contacts",
        Some(ContactRows { rows, .. }) if !rows.is_empty() => "it finds contacts that were not asked for",
        Some(ContactRows { complete: false, .. }) => {
            "the answer does not say that it holds all that was found"
        }
        Some(_) => return Tried::Works(()),
    };
    Tried::Odd(why.to_owned())
}

/// The header has whole seconds. Within the time that the call took, the clocks agree.
fn ahead(server: Timestamp, (sent, received): (Timestamp, Timestamp)) -> i64 {
    let server = server.as_second();
    match (server - sent.as_second(), server - received.as_second()) {
        (since_sent, _) if since_sent < 0 => since_sent,
        (_, since_received) if since_received > 0 => since_received,
        _ => 0,
    }
}

fn late() -> Unreached {
    Unreached {
        step: crate::freshsales::ReachStep::Answer,
        why: format!("no answer within {} s", CALL_TIME.as_secs()),
    }
}

fn unavailable(cause: UnavailableCause) -> String {
    match cause {
        UnavailableCause::ServerError(status) => format!("Freshsales is in trouble: status {status}"),
        UnavailableCause::UnexpectedStatus(status) => format!("status {status}"),
        UnavailableCause::UnexpectedBody(status) => {
            format!("status {status} with a body that is not what the API answers")
        }
        UnavailableCause::Timeout => "no answer in time".to_owned(),
        UnavailableCause::Connection | UnavailableCause::Panicked => "the connection broke".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_agree_within_the_time_of_the_call() {
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        for (server, expected) in [(0, 0), (5, 0), (10, 0), (-1, -1), (-45, -45), (11, 1), (100, 90)] {
            assert_eq!(ahead(at(server), (at(0), at(10))), expected, "{server}");
        }
    }
}
