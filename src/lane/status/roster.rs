//! Which lanes there are now, for all who look at them from outside: the pages, the watchdog. Only the command that runs
//! the lanes changes it.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serde::Serialize;

use super::lane_status::LaneStatus;
use crate::delivery::AccountName;

/// Clones share what they show.
#[derive(Debug, Clone, Default)]
pub struct LaneRoster(Arc<RwLock<Listed>>);

#[derive(Debug, Clone, Default)]
struct Listed {
    lanes: Arc<[Arc<LaneStatus>]>,
    removed: Arc<[RemovedAccount]>,
}

/// An account that was taken out of the configuration while the daemon ran. Its queue stays, with what waits there.
#[derive(Debug, Clone, Serialize)]
pub struct RemovedAccount {
    /// Its name.
    pub account: AccountName,
    /// When the configuration without it was read.
    pub removed: Timestamp,
}

impl LaneRoster {
    /// Shows these in place of the earlier ones.
    pub fn show(&self, lanes: Vec<Arc<LaneStatus>>, removed: Vec<RemovedAccount>) {
        let listed = Listed { lanes: lanes.into(), removed: removed.into() };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = listed;
    }

    /// The lanes of all accounts of the configuration, in its order.
    pub fn lanes(&self) -> Arc<[Arc<LaneStatus>]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).lanes.clone()
    }

    /// The accounts that are configured no longer, since the start.
    pub fn removed(&self) -> Arc<[RemovedAccount]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).removed.clone()
    }
}
