//! The account's records, kept in memory, with their links and the delay of the search index.
//!
//! Knows neither field metadata nor HTTP, and checks nothing: `account/writing` decides what may be stored.

pub(in crate::sandbox) mod account_records;
pub(in crate::sandbox) mod record;
pub(in crate::sandbox) mod record_set;
pub(in crate::sandbox) mod search_index;

use std::sync::Arc;

use tokio::time::Instant;

use self::{
    account_records::AccountRecords, record::StoredRecord, record_set::RecordSet, search_index::SearchIndex,
};
use crate::schema::Entity;

/// Ids have twelve digits, as in real accounts: too long for 32 bits.
const FIRST_ID: u64 = 402_000_900_001;

/// Every record of the account.
pub(in crate::sandbox) struct Store {
    /// As they are now.
    pub(in crate::sandbox) current: AccountRecords,
    pub(in crate::sandbox) index: SearchIndex,
    next_id: u64,
}

/// When a write happens.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct WriteTime {
    pub(in crate::sandbox) at: Instant,
    /// When searches see it.
    pub(in crate::sandbox) seen_from: Instant,
}

impl Default for Store {
    fn default() -> Self {
        Self { current: AccountRecords::default(), index: SearchIndex::default(), next_id: FIRST_ID }
    }
}

impl Store {
    /// The records as they are now.
    pub(in crate::sandbox) fn records(&self, entity: Entity) -> &RecordSet {
        self.current.of(entity)
    }

    /// Unique across records, addresses and jobs.
    pub(in crate::sandbox) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Stores a new or changed record and gives it the ids it lacks.
    pub(in crate::sandbox) fn put(
        &mut self,
        entity: Entity,
        mut record: StoredRecord,
        time: WriteTime,
    ) -> u64 {
        if record.id == 0 {
            record.id = self.new_id();
        }
        for email in &mut record.emails {
            if email.id == 0 {
                email.id = self.new_id();
            }
        }
        let id = record.id;
        let record = Arc::new(record);
        self.current.put(entity, Arc::clone(&record));
        self.note(entity, id, Some(record), time);
        id
    }

    /// Removes a record and every link to it. False if there is no such record.
    pub(in crate::sandbox) fn remove(&mut self, entity: Entity, id: u64, time: WriteTime) -> bool {
        let removed = self.current.remove(entity, id);
        if removed {
            self.note(entity, id, None, time);
        }
        removed
    }

    fn note(&mut self, entity: Entity, id: u64, record: Option<Arc<StoredRecord>>, time: WriteTime) {
        self.index.note(entity, id, record, time.seen_from);
        // Else what nobody searches for would wait for ever.
        self.index.catch_up(time.at);
    }
}
