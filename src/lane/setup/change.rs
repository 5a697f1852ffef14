//! What changes about an account while its lane goes on. The command that reads the configuration again hands it in; the
//! lane takes it between two turns. Events that it has mapped already stay as they are; what was spent of the quota, what
//! is known of contacts, and which events were delivered stays known.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::AccountConfig;
use crate::freshsales::Client;

/// The way to one lane. Never waits for it: of two changes that it has not taken, it takes the second.
#[derive(Debug, Clone)]
pub struct LaneChanges(watch::Sender<Option<Arc<LaneChange>>>);

#[derive(Debug)]
pub(in crate::lane) struct LaneChange {
    pub(in crate::lane) account: AccountConfig,
    pub(in crate::lane) client: Client,
}

impl LaneChanges {
    /// Has the lane go on like this. The account's url must be the same: a lane knows one account.
    pub fn apply(&self, account: AccountConfig, client: Client) {
        self.0.send_replace(Some(Arc::new(LaneChange { account, client })));
    }
}

/// The lane's end.
pub(in crate::lane) struct PendingChange {
    changes: watch::Receiver<Option<Arc<LaneChange>>>,
    /// Keeps the way open, so that waiting for a change never ends without one.
    way: LaneChanges,
}

impl PendingChange {
    pub(in crate::lane) fn new() -> Self {
        let (way, changes) = watch::channel(None);
        Self { changes, way: LaneChanges(way) }
    }

    pub(in crate::lane) fn way(&self) -> LaneChanges {
        self.way.clone()
    }

    /// Returns when there is a change to take. Can be given up at any time.
    pub(in crate::lane) async fn arrived(&mut self) {
        if self.changes.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(in crate::lane) fn take(&mut self) -> Option<Arc<LaneChange>> {
        // Only this end takes it out, and in one step, so that a newer one is never lost.
        let mut change = None;
        self.way.0.send_if_modified(|pending| {
            change = pending.take();
            false
        });
        change
    }
}
