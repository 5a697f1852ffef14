//! All records of one entity, by id and by identifier.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::record::{StoredRecord, UniqueIdentifier, normalised};

/// All records of one entity.
#[derive(Default)]
pub(in crate::sandbox) struct RecordSet {
    by_id: BTreeMap<u64, Arc<StoredRecord>>,
    by_identifier: BTreeMap<(UniqueIdentifier, String), BTreeSet<u64>>,
}

impl RecordSet {
    pub(in crate::sandbox) fn get(&self, id: u64) -> Option<&StoredRecord> {
        self.by_id.get(&id).map(AsRef::as_ref)
    }

    /// The oldest record with this identifier, compared without case.
    pub(in crate::sandbox) fn find(&self, identifier: UniqueIdentifier, value: &str) -> Option<u64> {
        self.by_identifier.get(&(identifier, normalised(value)))?.first().copied()
    }

    /// Every record with this identifier, oldest first: deals may share a name.
    pub(in crate::sandbox) fn find_all(
        &self,
        identifier: UniqueIdentifier,
        value: &str,
    ) -> impl Iterator<Item = &StoredRecord> {
        let ids = self.by_identifier.get(&(identifier, normalised(value)));
        ids.into_iter().flatten().filter_map(|id| self.get(*id))
    }

    /// Oldest first.
    pub(in crate::sandbox) fn iter(&self) -> impl DoubleEndedIterator<Item = &StoredRecord> {
        self.by_id.values().map(AsRef::as_ref)
    }

    pub(in crate::sandbox) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn put(&mut self, record: Arc<StoredRecord>) -> Option<Arc<StoredRecord>> {
        let replaced = self.remove(record.id);
        for identifier in record.identifiers() {
            self.by_identifier.entry(identifier).or_default().insert(record.id);
        }
        self.by_id.insert(record.id, record);
        replaced
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Arc<StoredRecord>> {
        let record = self.by_id.remove(&id)?;
        for identifier in record.identifiers() {
            if let Some(ids) = self.by_identifier.get_mut(&identifier) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_identifier.remove(&identifier);
                }
            }
        }
        Some(record)
    }
}
