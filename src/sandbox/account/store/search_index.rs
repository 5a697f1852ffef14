//! What look-ups and searches see. The real search index follows writes by up to twenty seconds, while reads by id and
//! upserts see them at once.
//!
//! It is a second set of records, with their links and the names that identify them, so that nothing an answer shows is
//! newer than the index. Records that are the same in both are held once.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::{account_records::AccountRecords, record::StoredRecord};
use crate::schema::Entity;

/// The records as searches see them, and the writes that they do not see yet.
#[derive(Default)]
pub(in crate::sandbox) struct SearchIndex {
    records: AccountRecords,
    /// By the moment from which they are seen, and in the order in which they were written.
    pending: BTreeMap<(Instant, u64), IndexChange>,
    /// When the last of a record's pending writes is seen.
    last: BTreeMap<(Entity, u64), Instant>,
    writes: u64,
}

/// A write that searches do not see yet.
struct IndexChange {
    entity: Entity,
    id: u64,
    /// `None` removes it.
    record: Option<Arc<StoredRecord>>,
}

impl SearchIndex {
    /// As of the last [`catch_up`](Self::catch_up).
    pub(in crate::sandbox) fn records(&self) -> &AccountRecords {
        &self.records
    }

    /// Searches see this state of a record from a moment on, but never before an earlier one of the same record.
    pub(super) fn note(
        &mut self,
        entity: Entity,
        id: u64,
        record: Option<Arc<StoredRecord>>,
        seen_from: Instant,
    ) {
        let last = self.last.entry((entity, id)).or_insert(seen_from);
        *last = seen_from.max(*last);
        self.pending.insert((*last, self.writes), IndexChange { entity, id, record });
        self.writes += 1;
    }

    /// Takes in the writes whose time has come. Called before each search, because searches only borrow the store.
    pub(in crate::sandbox) fn catch_up(&mut self, now: Instant) {
        while let Some(entry) = self.pending.first_entry() {
            let due = entry.key().0;
            if due > now {
                return;
            }
            let IndexChange { entity, id, record } = entry.remove();
            if self.last.get(&(entity, id)) == Some(&due) {
                self.last.remove(&(entity, id));
            }
            match record {
                Some(record) => self.records.put(entity, record),
                None => {
                    self.records.remove(entity, id);
                }
            }
        }
    }
}
