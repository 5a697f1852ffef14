//! What look-ups and searches do not see yet. The real search index follows writes by up to twenty seconds, while reads
//! by id and upserts see them at once.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::record::StoredRecord;
use crate::schema::Entity;

/// The versions of changed records that searches still see.
#[derive(Default)]
pub(in crate::sandbox) struct SearchLag {
    /// A record's writes that the index has not caught up with, oldest first.
    pending: BTreeMap<(Entity, u64), VecDeque<OlderVersion>>,
}

/// A record before a write, and until when searches see it.
struct OlderVersion {
    until: Instant,
    /// `None` before the record was created.
    record: Option<StoredRecord>,
}

impl SearchLag {
    /// Searches see `before` until this moment, once the versions before earlier pending writes have had their time.
    pub(super) fn delay(&mut self, entity: Entity, id: u64, before: Option<StoredRecord>, until: Instant) {
        let version = OlderVersion { until, record: before };
        self.pending.entry((entity, id)).or_default().push_back(version);
    }

    /// Drops the versions whose time has passed. Called before each search, because searches only borrow the store.
    pub(in crate::sandbox) fn catch_up(&mut self, now: Instant) {
        self.pending.retain(|_, versions| {
            while versions.front().is_some_and(|version| version.until <= now) {
                versions.pop_front();
            }
            !versions.is_empty()
        });
    }

    /// Whether searches see an older version of this record, or do not see it yet.
    pub(in crate::sandbox) fn hides(&self, entity: Entity, id: u64) -> bool {
        self.pending.contains_key(&(entity, id))
    }

    /// The older versions that searches see.
    pub(in crate::sandbox) fn older(&self, entity: Entity) -> impl Iterator<Item = &StoredRecord> {
        let versions = self.pending.range((entity, 0)..=(entity, u64::MAX)).map(|(_, versions)| versions);
        versions.filter_map(|versions| versions.front()?.record.as_ref())
    }
}
