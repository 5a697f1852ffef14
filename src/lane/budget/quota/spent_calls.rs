//! Calls of a burst that were spent, and when each comes back. Pure.
//!
//! Few calls come back each at its own moment, to the nanosecond. A list of many would grow with the quota, and every lane
//! has two: they come back in groups, at the end of the slot of the period that each falls into.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Bursts of up to this many calls are kept call by call, larger ones by so many slots of the period.
const SLOTS: u32 = 254;

/// Calls that come back one period after they were spent, or up to a slot later.
#[derive(Debug)]
pub(in crate::lane::budget) struct SpentCalls {
    /// What moments are counted from.
    since: Instant,
    /// In nanoseconds. Calls of one slot come back together, at its end.
    slot: u64,
    groups: VecDeque<CallGroup>,
    /// Of all calls that were ever spent, so many are spent, and so many are back.
    spent: u64,
    back: u64,
}

/// Calls that come back at the same moment.
#[derive(Debug, Clone, Copy)]
struct CallGroup {
    /// In nanoseconds from the beginning.
    at: u64,
    /// So many of all calls are back then.
    back: u64,
}

impl SpentCalls {
    /// None yet of a burst of this size.
    pub(in crate::lane::budget) fn new(burst: usize, period: Duration, now: Instant) -> Self {
        let few = burst <= SLOTS as usize;
        let slot = if few { 1 } else { nanoseconds(period / SLOTS).max(1) };
        Self { since: now, slot, groups: VecDeque::new(), spent: 0, back: 0 }
    }

    /// Calls to come back as another burst had them, whose size was another.
    pub(in crate::lane::budget) fn take_over(&mut self, before: Self) {
        *self = Self { slot: self.slot, ..before };
    }

    /// A call was spent that comes back then. Moments are handed in in their order.
    pub(in crate::lane::budget) fn push(&mut self, back: Instant) {
        let at = nanoseconds(back.saturating_duration_since(self.since));
        let at = at.div_ceil(self.slot).saturating_mul(self.slot);
        self.spent += 1;
        let spent = self.spent;
        match self.groups.back_mut() {
            // One that was spent under a longer period comes back later than this call; the order stays.
            Some(last) if last.at >= at => last.back = spent,
            Some(_) | None => self.groups.push_back(CallGroup { at, back: spent }),
        }
    }

    pub(in crate::lane::budget) fn take_back(&mut self, now: Instant) {
        while let Some(group) = self.groups.front().filter(|group| self.moment(**group) <= now) {
            self.back = group.back;
            self.groups.pop_front();
        }
    }

    pub(in crate::lane::budget) fn len(&self) -> usize {
        count(self.spent - self.back)
    }

    pub(in crate::lane::budget) fn next_back(&self) -> Option<Instant> {
        self.groups.front().map(|group| self.moment(*group))
    }

    /// How many come back after `now`.
    pub(in crate::lane::budget) fn after(&self, now: Instant) -> usize {
        let last = self.first_group(now).checked_sub(1).and_then(|last| self.groups.get(last));
        count(self.spent - last.map_or(self.back, |last| last.back))
    }

    pub(in crate::lane::budget) fn first_after(&self, now: Instant) -> Option<Instant> {
        self.groups.get(self.first_group(now)).map(|group| self.moment(*group))
    }

    /// The first group that comes back after `now`.
    fn first_group(&self, now: Instant) -> usize {
        self.groups.partition_point(|group| self.moment(*group) <= now)
    }

    fn moment(&self, group: CallGroup) -> Instant {
        self.since + Duration::from_nanos(group.at)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn count(calls: u64) -> usize {
    usize::try_from(calls).unwrap_or(usize::MAX)
}
