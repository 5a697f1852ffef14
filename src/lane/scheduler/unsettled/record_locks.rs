//! Sales accounts, deals and contacts' links that are being written. Several work items may write the same one, so each is
//! written by one at a time: none is created twice, and a later event's values are not overwritten by an earlier one's.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use crate::lane::contact::contact_work::SharedRecord;

/// Who writes which record. Work items are named by their numbers.
#[derive(Debug, Default)]
pub(in crate::lane::scheduler) struct RecordLocks {
    locks: HashMap<SharedRecord, Lock>,
    /// Those that somebody took or let go since the last time that was asked for.
    changed: Vec<SharedRecord>,
}

#[derive(Debug)]
struct Lock {
    holder: u64,
    /// In the order in which they asked.
    waiting: VecDeque<u64>,
}

impl RecordLocks {
    /// True if the work item has the lock now. Else it waits, and is among those that [`Self::release`] returns.
    pub(in crate::lane::scheduler) fn acquire(&mut self, record: SharedRecord, item: u64) -> bool {
        match self.locks.entry(record) {
            Entry::Vacant(free) => {
                self.changed.push(free.key().clone());
                free.insert(Lock { holder: item, waiting: VecDeque::new() });
                true
            }
            Entry::Occupied(lock) if lock.get().holder == item => true,
            Entry::Occupied(mut lock) => {
                lock.get_mut().waiting.push_back(item);
                false
            }
        }
    }

    /// Takes the lock again for a work item that let it go while its call waited, unless another one has it.
    pub(in crate::lane::scheduler) fn take_if_free(&mut self, record: SharedRecord, item: u64) {
        if let Entry::Vacant(free) = self.locks.entry(record) {
            self.changed.push(free.key().clone());
            free.insert(Lock { holder: item, waiting: VecDeque::new() });
        }
    }

    pub(in crate::lane::scheduler) fn is_held(&self, record: &SharedRecord) -> bool {
        self.locks.contains_key(record)
    }

    pub(in crate::lane::scheduler) fn is_held_by_other(&self, record: &SharedRecord, item: u64) -> bool {
        self.locks.get(record).is_some_and(|lock| lock.holder != item)
    }

    /// Lets the lock go. Returns the work items that waited for it, which must ask again; none if the item did not have it.
    pub(in crate::lane::scheduler) fn release(&mut self, record: &SharedRecord, item: u64) -> VecDeque<u64> {
        let held = self.locks.get(record).is_some_and(|lock| lock.holder == item);
        if !held {
            return VecDeque::new();
        }
        let Some((record, lock)) = self.locks.remove_entry(record) else { return VecDeque::new() };
        self.changed.push(record);
        lock.waiting
    }

    /// These wait on, ahead of those that have asked since.
    pub(in crate::lane::scheduler) fn wait_on(&mut self, record: &SharedRecord, mut waiting: VecDeque<u64>) {
        if let Some(lock) = self.locks.get_mut(record) {
            waiting.append(&mut lock.waiting);
            lock.waiting = waiting;
        }
    }

    /// Every work item is gone.
    pub(in crate::lane::scheduler) fn clear(&mut self) {
        self.changed.extend(self.locks.drain().map(|(record, _)| record));
    }

    pub(in crate::lane::scheduler) fn take_changed(&mut self) -> Vec<SharedRecord> {
        std::mem::take(&mut self.changed)
    }

    #[cfg(test)]
    pub(in crate::lane::scheduler) fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Entity;

    #[test]
    fn one_work_item_has_a_record_and_the_others_get_it_in_turn() {
        let record = || (Entity::SalesAccount, "acme".to_owned());
        let mut locks = RecordLocks::default();
        assert!(locks.acquire(record(), 1) && locks.acquire(record(), 1));
        assert!(!locks.acquire(record(), 2) && !locks.acquire(record(), 3));
        assert!(locks.is_held_by_other(&record(), 2) && !locks.is_held_by_other(&record(), 1));
        assert!(locks.release(&record(), 2).is_empty(), "only the holder lets it go");
        let mut waiting = locks.release(&record(), 1);
        assert_eq!(waiting, [2, 3]);
        assert!(locks.is_empty() && locks.acquire(record(), 2) && !locks.acquire(record(), 4));
        waiting.pop_front();
        locks.wait_on(&record(), waiting);
        assert_eq!(locks.release(&record(), 2), [3, 4], "in the order in which they asked first");
        locks.take_if_free(record(), 2);
        locks.take_if_free(record(), 3);
        assert!(locks.is_held_by_other(&record(), 3));
    }
}
