//! The work items of one account, by the number of their first event, so the oldest comes first.

use std::collections::{BTreeMap, BTreeSet};

use crate::lane::contact::contact_work::ContactWork;
use crate::lane::contact::work_item::WorkItem;

#[derive(Debug)]
pub(in crate::lane::scheduler) struct WorkItems<D> {
    items: BTreeMap<u64, WorkItem<D>>,
    /// Those whose step has no call yet.
    idle: BTreeSet<u64>,
    /// Those whose next call may have become another one since the last time that was asked for.
    changed: Vec<u64>,
}

impl<D> Default for WorkItems<D> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), idle: BTreeSet::new(), changed: Vec::new() }
    }
}

impl<D> WorkItems<D> {
    pub(in crate::lane::scheduler) fn insert(&mut self, number: u64, item: WorkItem<D>) {
        self.items.insert(number, item);
    }

    pub(in crate::lane::scheduler) fn remove(&mut self, number: u64) -> Option<WorkItem<D>> {
        self.set_busy(number);
        self.items.remove(&number)
    }

    pub(in crate::lane::scheduler) fn get(&self, number: u64) -> Option<&WorkItem<D>> {
        self.items.get(&number)
    }

    pub(in crate::lane::scheduler) fn get_mut(&mut self, number: u64) -> Option<&mut WorkItem<D>> {
        if self.is_idle(number) {
            self.changed.push(number);
        }
        self.items.get_mut(&number)
    }

    pub(in crate::lane::scheduler) fn contact(&self, number: u64) -> Option<&ContactWork> {
        self.get(number)?.contact()
    }

    pub(in crate::lane::scheduler) fn contact_mut(&mut self, number: u64) -> Option<&mut ContactWork> {
        self.get_mut(number)?.contact_mut()
    }

    pub(in crate::lane::scheduler) fn numbers(&self) -> Vec<u64> {
        self.items.keys().copied().collect()
    }

    /// The item's step needs a call.
    pub(in crate::lane::scheduler) fn set_idle(&mut self, number: u64) {
        if self.items.contains_key(&number) {
            self.idle.insert(number);
            self.changed.push(number);
        }
    }

    /// The item's step has its call, or waits for a lock.
    pub(in crate::lane::scheduler) fn set_busy(&mut self, number: u64) {
        if self.idle.remove(&number) {
            self.changed.push(number);
        }
    }

    pub(in crate::lane::scheduler) fn is_idle(&self, number: u64) -> bool {
        self.idle.contains(&number)
    }

    /// Those whose next call may have become another one since the last time.
    pub(in crate::lane::scheduler) fn drain_changed(&mut self) -> impl Iterator<Item = u64> {
        self.changed.drain(..)
    }

    /// The items whose step needs a call, the oldest first.
    #[cfg(test)]
    pub(in crate::lane::scheduler) fn idle(&self) -> impl Iterator<Item = u64> {
        self.idle.iter().copied()
    }

    #[cfg(test)]
    pub(in crate::lane::scheduler) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.idle.is_empty()
    }
}
