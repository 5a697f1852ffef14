//! Whether the broker can be reached and takes messages, told in one place: readiness, metric and log agree.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus::{IntCounter, IntGauge, IntGaugeVec};
use serde::Serialize;

use crate::delivery::AccountName;
use crate::metrics::Metrics;

/// Why a broker that is connected takes no messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stall {
    /// A memory or disk alarm: it says so itself.
    Blocked,
    /// It confirms nothing: most of its nodes may be away.
    Unconfirmed,
    /// The intake is of a kind that cannot be consumed without loss, or may not be consumed.
    Intake,
    /// What is published for one account's lane is refused or not confirmed.
    Lane,
    /// The same of dead letters.
    DeadLetters,
}

impl Stall {
    const ALL: [Self; 5] = [Self::Blocked, Self::Unconfirmed, Self::Intake, Self::Lane, Self::DeadLetters];

    /// The label in the metric.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Unconfirmed => "unconfirmed",
            Self::Intake => "intake",
            Self::Lane => "lane",
            Self::DeadLetters => "dead_letters",
        }
    }
}

/// The state of the connection. Shared with readiness and the status page.
#[derive(Debug)]
pub struct BrokerHealth {
    connected: IntGauge,
    reconnects: IntCounter,
    stalled: IntGaugeVec,
    name_taken: IntGauge,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connected: bool,
    since: Timestamp,
    /// Why it is not connected.
    why: String,
    /// Why it takes no messages, the gravest first.
    stalls: BTreeMap<Stall, String>,
    /// Lanes whose dead letters do not get through, and why.
    letters: BTreeMap<AccountName, String>,
    name_taken: bool,
    /// Queues that were looked over.
    looked_over: HashSet<String>,
    /// Nodes left because they confirmed nothing, since one last did.
    left: u32,
    /// Connected at least once.
    known: bool,
}

/// What a person sees of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthView {
    /// There is a connection.
    pub connected: bool,
    /// Since when.
    pub since: Timestamp,
    /// Events can come and go, if perhaps not those of one account.
    pub ready: bool,
    /// Why not, in words without secrets; empty if ready.
    pub why: String,
    /// Another connection goes by this replica's name.
    pub name_taken: bool,
}

impl BrokerHealth {
    /// Not connected yet.
    pub fn new(metrics: &Metrics) -> Self {
        for stall in Stall::ALL {
            metrics.broker_stalled.with_label_values(&[stall.as_str()]).set(0);
        }
        Self {
            connected: metrics.broker_connected.clone(),
            reconnects: metrics.broker_reconnects.clone(),
            stalled: metrics.broker_stalled.clone(),
            name_taken: metrics.replica_name_taken.clone(),
            inner: Mutex::new(Inner {
                connected: false,
                since: Timestamp::now(),
                why: "connecting to the broker".to_owned(),
                stalls: BTreeMap::new(),
                letters: BTreeMap::new(),
                name_taken: false,
                looked_over: HashSet::new(),
                left: 0,
                known: false,
            }),
        }
    }

    /// What a person sees.
    pub fn view(&self) -> HealthView {
        let inner = self.lock();
        let why = match inner.stalls.first_key_value() {
            _ if !inner.connected => inner.why.clone(),
            Some((Stall::Intake, why)) => format!("the intake cannot be used: {why}"),
            Some((Stall::Blocked | Stall::Unconfirmed | Stall::Lane | Stall::DeadLetters, why)) => {
                format!("the broker takes no messages for now: {why}")
            }
            None => String::new(),
        };
        HealthView {
            connected: inner.connected,
            since: inner.since,
            // One account's lane is no reason to hold up a roll-out, nor are dead letters.
            ready: inner.connected && inner.stalls.keys().all(|stall| *stall >= Stall::Lane),
            why,
            name_taken: inner.name_taken,
        }
    }

    pub(super) fn up(&self, address: &str) {
        let mut inner = self.lock();
        if inner.known {
            self.reconnects.inc();
        }
        inner.known = true;
        inner.connected = true;
        inner.since = Timestamp::now();
        self.connected.set(1);
        tracing::info!(broker.address = address, "connected to the broker");
    }

    pub(super) fn down(&self, why: &str) {
        let mut inner = self.lock();
        let news = inner.connected || inner.why != why;
        if inner.connected {
            inner.since = Timestamp::now();
        }
        self.connected.set(0);
        inner.connected = false;
        why.clone_into(&mut inner.why);
        // Of a connection that is gone nothing is known; but a broker that confirmed nothing has to show that it does.
        inner.letters.clear();
        for stall in [Stall::Blocked, Stall::Intake, Stall::Lane, Stall::DeadLetters] {
            if inner.stalls.remove(&stall).is_some() {
                self.stalled.with_label_values(&[stall.as_str()]).set(0);
            }
        }
        if news {
            tracing::warn!(why, "not connected to the broker; trying again");
        }
    }

    /// The broker takes no messages for now, or takes them again; what needs none goes on.
    pub(super) fn stalled(&self, stall: Stall, why: Option<&str>) {
        let mut inner = self.lock();
        let before = match why {
            Some(why) => inner.stalls.insert(stall, why.to_owned()),
            None => inner.stalls.remove(&stall),
        };
        if before.as_deref() == why {
            return;
        }
        self.stalled.with_label_values(&[stall.as_str()]).set(i64::from(why.is_some()));
        if stall == Stall::Intake {
            if let Some(why) = why {
                tracing::error!(why, "the intake cannot be used; what waits there stays there");
            } else {
                tracing::info!("the intake can be used again");
            }
        } else if let Some(why) = why {
            tracing::warn!(why, stall = stall.as_str(), "the broker takes no messages for now");
        } else {
            tracing::info!(stall = stall.as_str(), "the broker takes messages again");
        }
    }

    /// Why a lane's dead letters do not get through, if that is so.
    pub(super) fn letters(&self, account: &AccountName, why: Option<String>) {
        let first = {
            let letters = &mut self.lock().letters;
            match why {
                Some(why) => _ = letters.insert(account.clone(), why),
                None if letters.remove(account).is_none() => return,
                None => {}
            }
            letters.values().next().cloned()
        };
        self.stalled(Stall::DeadLetters, first.as_deref());
    }

    /// Whether this queue was not looked over yet; from now on it was.
    pub(super) fn first_look(&self, queue: &str) -> bool {
        self.lock().looked_over.insert(queue.to_owned())
    }

    /// It confirms what it is sent.
    pub(super) fn confirmed(&self) {
        self.lock().left = 0;
        self.stalled(Stall::Unconfirmed, None);
    }

    /// How many nodes were left because they confirmed nothing, since one last did.
    pub(super) fn left(&self) -> u32 {
        self.lock().left
    }

    /// Another one is left.
    pub(super) fn leaves(&self) {
        self.lock().left += 1;
    }

    pub(super) fn is_stalled(&self, stall: Stall) -> bool {
        self.lock().stalls.contains_key(&stall)
    }

    /// Whether another connection goes by this replica's name.
    pub(super) fn name_taken(&self, taken: bool) {
        let mut inner = self.lock();
        if std::mem::replace(&mut inner.name_taken, taken) == taken {
            return;
        }
        self.name_taken.set(i64::from(taken));
        if taken {
            tracing::warn!("another connection goes by this replica's name; set broker.replica");
        } else {
            tracing::info!("no other connection goes by this replica's name any more");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
