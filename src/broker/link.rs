//! Whether the broker can be reached, told in one place: readiness, metric and log agree.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use prometheus::{IntCounter, IntGauge};
use serde::Serialize;

use crate::metrics::Metrics;

/// The state of the connection. Shared with readiness and the status page.
#[derive(Debug)]
pub struct Link {
    connected: IntGauge,
    reconnects: IntCounter,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    view: LinkView,
    /// Connected at least once.
    known: bool,
}

/// What a person sees of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkView {
    /// Events can come and go.
    pub connected: bool,
    /// Since when.
    pub since: Timestamp,
    /// Why not, in words without secrets; empty if connected and unblocked.
    pub why: String,
}

impl Link {
    /// Not connected yet.
    pub fn new(metrics: &Metrics) -> Self {
        let view = LinkView {
            connected: false,
            since: Timestamp::now(),
            why: "connecting to the broker".to_owned(),
        };
        Self {
            connected: metrics.broker_connected.clone(),
            reconnects: metrics.broker_reconnects.clone(),
            inner: Mutex::new(Inner { view, known: false }),
        }
    }

    /// What a person sees.
    pub fn view(&self) -> LinkView {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).view.clone()
    }

    pub(super) fn up(&self, address: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.known {
            self.reconnects.inc();
        }
        inner.known = true;
        self.connected.set(1);
        inner.view = LinkView { connected: true, since: Timestamp::now(), why: String::new() };
        tracing::info!(broker.address = address, "connected to the broker");
    }

    pub(super) fn down(&self, why: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let news = inner.view.connected || inner.view.why != why;
        if inner.view.connected {
            inner.view.since = Timestamp::now();
        }
        self.connected.set(0);
        inner.view.connected = false;
        why.clone_into(&mut inner.view.why);
        if news {
            tracing::warn!(why, "not connected to the broker; trying again");
        }
    }

    /// The broker takes no messages for now (memory or disk alarm); what needs none goes on.
    pub(super) fn blocked(&self, why: Option<&str>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = why {
            tracing::warn!(why, "the broker takes no messages for now");
            inner.view.why = format!("the broker takes no messages for now: {why}");
        } else {
            tracing::info!("the broker takes messages again");
            inner.view.why.clear();
        }
    }
}
