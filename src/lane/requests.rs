//! The requests to Freshsales that are in flight, each a task of its own. The lane sends through this and waits for what
//! ends; what an answer means is decided elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::delivery::AccountName;
use crate::freshsales::{Answer, Call, Client, NoAnswer, RawResponse, host_wide_wait};

/// A call that was sent, with its answer and how long that took.
pub(super) struct Sent {
    pub(super) call: Call,
    pub(super) response: Result<RawResponse, NoAnswer>,
    pub(super) took: Duration,
}

/// How a request ended.
pub(super) enum Ended {
    Sent(Box<Sent>),
    /// It was cut off.
    Aborted,
    /// A bug: nobody knows whether it was sent.
    Panicked(JoinError),
}

/// An account's requests in flight.
pub(super) struct Requests {
    account: AccountName,
    client: Client,
    tasks: JoinSet<Sent>,
    /// The scheduler's number of the call that each task sends: a task that panics cannot say it.
    numbers: HashMap<Id, u64>,
    /// The last wait of a gateway that was passed on.
    gateway_until: Option<Instant>,
}

impl Requests {
    pub(super) fn new(account: AccountName, client: Client) -> Self {
        Self { account, client, tasks: JoinSet::new(), numbers: HashMap::new(), gateway_until: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn send(&mut self, number: u64, call: Call) {
        let client = self.client.clone();
        let task = self.tasks.spawn(async move {
            let started = Instant::now();
            let response = client.send(&call).await;
            Sent { call, response, took: started.elapsed() }
        });
        self.numbers.insert(task.id(), number);
    }

    /// The next request that ends, under its number; none if none is in flight. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<(u64, Ended)> {
        loop {
            let (id, ended) = match self.tasks.join_next_with_id().await? {
                Ok((id, sent)) => (id, Ended::Sent(Box::new(sent))),
                Err(error) if error.is_cancelled() => (error.id(), Ended::Aborted),
                Err(error) => (error.id(), Ended::Panicked(error)),
            };
            if let Some(number) = self.numbers.remove(&id) {
                return Some((number, ended));
            }
        }
    }

    pub(super) fn abort_all(&mut self) {
        self.tasks.abort_all();
    }

    /// Until when a gateway before Freshsales asked the accounts on this host to stay away; only where that is new.
    pub(super) fn new_gateway_wait(&mut self, now: Instant) -> Option<Instant> {
        let until = self.client.gateway().blocked_until(now);
        let until = until.filter(|until| self.gateway_until != Some(*until))?;
        self.gateway_until = Some(until);
        Some(until)
    }

    /// Passes on to the other accounts on the host what an answer says about the gateway before it.
    pub(super) fn note_gateway(&self, answer: &Answer, now: Instant) {
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
