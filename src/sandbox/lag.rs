//! What look-ups and searches do not see yet: the real index follows writes by up to twenty seconds, while reads by id
//! and upserts see them at once.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::store::Record;
use crate::schema::Entity;

/// Records that look older to searches than they are.
#[derive(Default)]
pub(super) struct Lag {
    held: BTreeMap<(Entity, u64), VecDeque<Held>>,
}

/// How a record looked before a write, and until when searches see it so.
struct Held {
    until: Instant,
    before: Option<Record>,
}

impl Lag {
    /// Searches see the record as it was `before` until this moment, and until those of its earlier writes have passed.
    pub(super) fn hold(&mut self, entity: Entity, id: u64, before: Option<Record>, until: Instant) {
        self.held.entry((entity, id)).or_default().push_back(Held { until, before });
    }

    /// Lets go of what has been seen by now; called before each search.
    pub(super) fn settle(&mut self, now: Instant) {
        self.held.retain(|_, writes| {
            while writes.front().is_some_and(|held| held.until <= now) {
                writes.pop_front();
            }
            !writes.is_empty()
        });
    }

    /// Whether searches see another form of the record than is stored, or none.
    pub(super) fn holds(&self, entity: Entity, id: u64) -> bool {
        self.held.contains_key(&(entity, id))
    }

    /// The older forms that searches see.
    pub(super) fn older(&self, entity: Entity) -> impl Iterator<Item = &Record> {
        let writes = self.held.range((entity, 0)..=(entity, u64::MAX)).map(|(_, writes)| writes);
        writes.filter_map(|writes| writes.front()?.before.as_ref())
    }
}
