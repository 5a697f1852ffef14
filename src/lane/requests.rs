//! The requests to Freshsales that are in flight. The lane sends through this and waits for what ends; its own task carries
//! them all, because a task for each costs more than the request. Counts requests by what their answers mean.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

use super::setup::secrets::SecretFiles;
use crate::config::AccountConfig;
use crate::delivery::AccountName;
use crate::freshsales::{
    Answer, Call, Client, Endpoint, NoAnswer, RateLimit, RawResponse, UnavailableCause, Verdict, classify,
    host_wide_wait,
};
use crate::lane::status::lane_status::LaneStatus;
use crate::metrics;

/// A call that was sent, with its answer and how long that took.
pub(super) struct Sent {
    call: Call,
    response: Result<RawResponse, NoAnswer>,
    took: Duration,
    /// The number of the client that sent it.
    client_number: u64,
    /// A client with other secrets, if those that it was sent with were refused and are no longer the right ones.
    renewed: Option<Client>,
}

pub(super) enum Ended {
    Sent(Box<Sent>),
    /// It was cut off, or refused for secrets that have been replaced since.
    Aborted,
    /// A bug: nobody knows whether it was sent.
    Panicked(String),
}

/// What carrying one request comes to, or the panic that ended it.
type Carried = Result<Sent, Box<dyn Any + Send>>;

struct InFlight {
    number: u64,
    request: Pin<Box<dyn Future<Output = Carried> + Send>>,
}

impl Future for InFlight {
    type Output = (u64, Carried);

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        self.request.as_mut().poll(context).map(|carried| (self.number, carried))
    }
}

/// An account's requests in flight.
pub(super) struct Requests {
    account: AccountName,
    status: Arc<LaneStatus>,
    client: Client,
    secrets: SecretFiles,
    /// How often the client was replaced.
    client_number: u64,
    in_flight: FuturesUnordered<InFlight>,
    /// The numbers of those that were cut off.
    aborted: Vec<u64>,
    /// The last wait of a gateway that was passed on.
    gateway_until: Option<Instant>,
    metrics: metrics::RequestMetrics,
    accepted: u64,
}

impl Requests {
    pub(super) fn new(
        account: &AccountConfig,
        status: Arc<LaneStatus>,
        client: Client,
        metrics: metrics::RequestMetrics,
    ) -> Self {
        Self {
            account: account.name.clone(),
            status,
            secrets: SecretFiles::new(account.clone(), client.clone()),
            client,
            client_number: 0,
            in_flight: FuturesUnordered::new(),
            aborted: Vec::new(),
            gateway_until: None,
            metrics,
            accepted: 0,
        }
    }

    /// Sends with other keys from now on.
    pub(super) fn replace_client(&mut self, account: &AccountConfig, client: Client) {
        self.client = client.with_token_of(&self.client);
        self.client_number += 1;
        self.secrets = SecretFiles::new(account.clone(), self.client.clone());
        self.gateway_until = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.aborted.is_empty()
    }

    pub(super) fn send(&mut self, number: u64, call: Call) {
        let (client, client_number, secrets) =
            (self.client.clone(), self.client_number, self.secrets.clone());
        let request = async move {
            let started = Instant::now();
            let response = client.send(&call).await;
            let took = started.elapsed();
            // Boxed, so that the many requests that are not refused take no room for it.
            let renewed =
                if refuses_secrets(&response) { Box::pin(secrets.other_than(&client)).await } else { None };
            Sent { call, response, took, client_number, renewed }
        };
        // A request that panics must not take the lane with it.
        let request = AssertUnwindSafe(request).catch_unwind().boxed();
        self.in_flight.push(InFlight { number, request });
    }

    /// The next request that ends, under its number; none if none is in flight. Cancel-safe. What was sent goes on only
    /// while this is awaited.
    pub(super) async fn next(&mut self) -> Option<(u64, Ended)> {
        if let Some(number) = self.aborted.pop() {
            return Some((number, Ended::Aborted));
        }
        let (number, carried) = self.in_flight.next().await?;
        let ended = match carried {
            Ok(sent) => self.ended(sent),
            Err(panic) => Ended::Panicked(words_of(&*panic)),
        };
        Some((number, ended))
    }

    /// The next one that has ended already.
    pub(super) fn next_ready(&mut self) -> Option<(u64, Ended)> {
        self.next().now_or_never().flatten()
    }

    /// A call whose secrets were refused and are replaced by now says nothing about the account; it is sent again.
    fn ended(&mut self, mut sent: Sent) -> Ended {
        let newest = sent.client_number == self.client_number;
        if let Some(renewed) = sent.renewed.take().filter(|_| newest) {
            self.client = renewed;
            self.client_number += 1;
        }
        if sent.client_number == self.client_number || !refuses_secrets(&sent.response) {
            return Ended::Sent(Box::new(sent));
        }
        self.read_answer(sent);
        Ended::Aborted
    }

    /// Calls that Freshsales accepted so far, but for questions about jobs.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// What a request's end means; none if it was aborted.
    pub(super) fn read(&mut self, ended: Ended) -> Option<(Verdict, RateLimit)> {
        match ended {
            Ended::Sent(sent) => Some(self.read_answer(*sent)),
            Ended::Aborted => None,
            Ended::Panicked(error) => Some(panicked(&error)),
        }
    }

    /// Parses an answer and says what it means. Costs as much as parsing it.
    fn read_answer(&mut self, sent: Sent) -> (Verdict, RateLimit) {
        let Sent { call, response, took, .. } = sent;
        let answer = response.map(RawResponse::parse);
        let mut limit = RateLimit::default();
        if let Ok(answer) = &answer {
            self.note_gateway(answer, Instant::now());
            limit = answer.rate_limit;
        }
        let verdict = classify(call.endpoint, answer);
        let accepted = matches!(verdict, Verdict::Done(_)) && call.endpoint != Endpoint::JobStatus;
        self.accepted += u64::from(accepted);
        if let Some(words) = failure(&call, &verdict) {
            self.status.note_error(words);
        }
        self.metrics.observe(call.endpoint.as_str(), verdict.as_str(), took, call.records());
        (verdict, limit)
    }

    pub(super) fn abort_all(&mut self) {
        self.aborted.extend(self.in_flight.iter().map(|request| request.number));
        self.in_flight.clear();
    }

    /// Until when a gateway before Freshsales asked the accounts on this host to stay away; only where that is new.
    pub(super) fn new_gateway_wait(&mut self, now: Instant) -> Option<Instant> {
        let until = self.client.gateway().blocked_until(now);
        let until = until.filter(|until| self.gateway_until != Some(*until))?;
        self.gateway_until = Some(until);
        Some(until)
    }

    /// Passes on to the other accounts on the host what an answer says about the gateway before it.
    fn note_gateway(&self, answer: &Answer, now: Instant) {
        let gateway = self.client.gateway();
        if let Some(wait) = host_wide_wait(answer) {
            if gateway.block(wait, now) {
                tracing::warn!(
                    account = &*self.account,
                    wait_s = wait.as_secs(),
                    "a gateway before Freshsales asks to stay away; all accounts on the host do"
                );
            }
        } else if answer.status < 300 {
            gateway.let_through(now);
        }
    }
}

/// How a call failed, in words without values; `None` if it was answered about its own record.
fn failure(call: &Call, verdict: &Verdict) -> Option<String> {
    let endpoint = call.endpoint.as_str();
    match verdict {
        Verdict::Done(_) | Verdict::Refused { .. } | Verdict::TooManyJobs => None,
        Verdict::Denied { status, .. } | Verdict::Unauthorized { status } => {
            Some(format!("{endpoint}: refused with {status}"))
        }
        Verdict::Unrecognized(answer) => Some(format!("{endpoint}: {answer}")),
        Verdict::Throttled { .. } => Some(format!("{endpoint}: too many calls")),
        Verdict::Unavailable { cause, .. } => Some(match cause {
            UnavailableCause::ServerError(status) | UnavailableCause::UnexpectedStatus(status) => {
                format!("{endpoint}: answered with {status}")
            }
            UnavailableCause::UnexpectedBody(status) => {
                format!("{endpoint}: answered with {status} and something else than it should")
            }
            UnavailableCause::Timeout => format!("{endpoint}: no answer in time"),
            UnavailableCause::Connection => format!("{endpoint}: no connection, or it broke"),
            UnavailableCause::Panicked => format!("{endpoint}: sending it panicked; this is a bug"),
        }),
    }
}

fn refuses_secrets(response: &Result<RawResponse, NoAnswer>) -> bool {
    response.as_ref().is_ok_and(RawResponse::may_refuse_secrets)
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    words.or_else(|| panic.downcast_ref().copied()).unwrap_or("a panic without words").to_owned()
}

/// What a call comes to whose sending panicked.
fn panicked(error: &str) -> (Verdict, RateLimit) {
    tracing::error!(error, "sending a call panicked; it is sent again; this is a bug");
    let cause = UnavailableCause::Panicked;
    (Verdict::Unavailable { cause, retry_after: None }, RateLimit::default())
}
