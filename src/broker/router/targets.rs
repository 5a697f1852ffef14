//! Which account an event belongs to, and where its lane is: made once for each account, because every event needs it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use lapin::BasicProperties;

use crate::broker::amqp::properties;
use crate::broker::context::Context;
use crate::broker::publishing::publication::PublishTarget;
use crate::delivery::AccountName;
use crate::outcome::Refusal;
use crate::routing::{ACCOUNT_HEADER, AccountIndex};
use crate::segment::RoutingKeys;

/// The lanes of the accounts that events came for, and the last batch.
#[derive(Debug, Default)]
pub(super) struct LaneTargets {
    /// The accounts as they were when these lanes were found.
    index: Arc<AccountIndex>,
    lanes: HashMap<AccountName, Arc<PublishTarget>>,
    last_batch: i64,
}

impl LaneTargets {
    /// The lane of the account that an event belongs to.
    pub(super) fn find(
        &mut self,
        context: &Context,
        properties: &BasicProperties,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
    ) -> Result<Arc<PublishTarget>, Refusal> {
        let index = context.routed.get();
        if !Arc::ptr_eq(&index, &self.index) {
            // Accounts may be gone.
            self.lanes.clear();
            self.index = index;
        }
        let account = find_in(&self.index, properties, keys)?;
        if let Some(lane) = self.lanes.get(&account) {
            return Ok(lane.clone());
        }
        let lane = Arc::new(PublishTarget::lane(&context.names, &account));
        self.lanes.insert(account, lane.clone());
        Ok(lane)
    }

    /// A batch's number: when it was taken, in nanoseconds. No other batch gets it, here or at another replica.
    pub(super) fn number_batch(&mut self, taken_at: Timestamp) -> i64 {
        let nanoseconds = i64::try_from(taken_at.as_nanosecond()).unwrap_or_default();
        self.last_batch = nanoseconds.max(self.last_batch + 1);
        self.last_batch
    }
}

/// The account that an event belongs to.
pub(super) fn find(
    context: &Context,
    properties: &BasicProperties,
    keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
) -> Result<AccountName, Refusal> {
    find_in(&context.routed.get(), properties, keys)
}

fn find_in(
    index: &AccountIndex,
    properties: &BasicProperties,
    keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
) -> Result<AccountName, Refusal> {
    index.find(properties::header(properties, ACCOUNT_HEADER).map(properties::text), keys)
}
