//! What look-ups and searches do not see yet: the real index follows writes by up to twenty seconds, while reads by id
//! and upserts see them at once.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::StoredRecord;
use crate::schema::Entity;

/// Records that look older to searches than they are.
#[derive(Default)]
pub(in crate::sandbox) struct SearchLag {
    held: BTreeMap<(Entity, u64), VecDeque<OlderVersion>>,
}

/// How a record looked before a write, and until when searches see it so.
struct OlderVersion {
    until: Instant,
    before: Option<StoredRecord>,
}

impl SearchLag {
    /// Searches see the record as it was `before` until this moment, and until those of its earlier writes have passed.
    pub(in crate::sandbox) fn hold(
        &mut self,
        entity: Entity,
        id: u64,
        before: Option<StoredRecord>,
        until: Instant,
    ) {
        self.held.entry((entity, id)).or_default().push_back(OlderVersion { until, before });
    }

    /// Lets go of what has been seen by now; called before each search.
    pub(in crate::sandbox) fn settle(&mut self, now: Instant) {
        self.held.retain(|_, writes| {
            while writes.front().is_some_and(|held| held.until <= now) {
                writes.pop_front();
            }
            !writes.is_empty()
        });
    }

    /// Whether searches see another form of the record than is stored, or none.
    pub(in crate::sandbox) fn holds(&self, entity: Entity, id: u64) -> bool {
        self.held.contains_key(&(entity, id))
    }

    /// The older forms that searches see.
    pub(in crate::sandbox) fn older(&self, entity: Entity) -> impl Iterator<Item = &StoredRecord> {
        let writes = self.held.range((entity, 0)..=(entity, u64::MAX)).map(|(_, writes)| writes);
        writes.filter_map(|writes| writes.front()?.before.as_ref())
    }
}
