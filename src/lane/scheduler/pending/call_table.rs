//! The calls of one account that are in flight or wait to be sent, by number.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::calls::{CallState, PendingCall, Purpose};
use crate::freshsales::Call;
use crate::lane::scheduler::steps::step;

#[derive(Debug)]
pub(in crate::lane::scheduler) struct CallTable {
    calls: HashMap<u64, PendingCall>,
    /// Those that are [`CallState::Due`], by their time.
    due: BTreeSet<(Instant, u64)>,
    next_number: u64,
    /// The first and the longest wait before a call is sent again.
    waits: (Duration, Duration),
}

impl CallTable {
    pub(in crate::lane::scheduler) fn new(waits: (Duration, Duration)) -> Self {
        Self { calls: HashMap::new(), due: BTreeSet::new(), next_number: 0, waits }
    }

    pub(in crate::lane::scheduler) fn add_due(&mut self, call: Call, purpose: Purpose, at: Instant) -> u64 {
        let number = self.add(call, purpose, CallState::Due(at));
        self.due.insert((at, number));
        number
    }

    pub(in crate::lane::scheduler) fn add_in_flight(&mut self, call: Call, purpose: Purpose) -> u64 {
        self.add(call, purpose, CallState::InFlight)
    }

    fn add(&mut self, call: Call, purpose: Purpose, state: CallState) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.calls.insert(number, PendingCall::new(call, purpose, state, self.waits));
        number
    }

    /// Puts a call back that was taken out, to be sent at this time or later.
    pub(in crate::lane::scheduler) fn put_back(&mut self, number: u64, mut call: PendingCall, at: Instant) {
        call.state = CallState::Due(at);
        self.due.insert((at, number));
        self.calls.insert(number, call);
    }

    /// Takes a call out, wherever it is.
    pub(in crate::lane::scheduler) fn take(&mut self, number: u64) -> Option<PendingCall> {
        let call = self.calls.remove(&number)?;
        if let CallState::Due(at) = call.state {
            self.due.remove(&(at, number));
        }
        Some(call)
    }

    /// A call is sent now, whether it waited or was made for this; as a probe of its budget or not.
    pub(in crate::lane::scheduler) fn send(&mut self, number: u64, now: Instant, probe: bool) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if let CallState::Due(at) = std::mem::replace(&mut call.state, CallState::InFlight) {
            self.due.remove(&(at, number));
        }
        call.mark_sent(now, probe);
    }

    /// Lets a call wait until this time, whether it is in flight or waits already.
    pub(in crate::lane::scheduler) fn wait_until(&mut self, number: u64, at: Instant) {
        if let Some(call) = self.calls.get_mut(&number) {
            if let CallState::Due(before) = std::mem::replace(&mut call.state, CallState::Due(at)) {
                self.due.remove(&(before, number));
            }
            self.due.insert((at, number));
        }
    }

    pub(in crate::lane::scheduler) fn get(&self, number: u64) -> Option<&PendingCall> {
        self.calls.get(&number)
    }

    pub(in crate::lane::scheduler) fn purpose_mut(&mut self, number: u64) -> Option<&mut Purpose> {
        self.calls.get_mut(&number).map(|call| &mut call.purpose)
    }

    pub(in crate::lane::scheduler) fn iter(&self) -> impl Iterator<Item = &PendingCall> {
        self.calls.values().inspect(|_| step())
    }

    pub(in crate::lane::scheduler) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut PendingCall)> {
        self.calls.iter_mut().inspect(|_| step()).map(|(number, call)| (*number, call))
    }

    /// The calls that wait, the earliest first.
    pub(in crate::lane::scheduler) fn waiting(&self) -> impl Iterator<Item = (Instant, u64, &PendingCall)> {
        self.due
            .iter()
            .inspect(|_| step())
            .filter_map(|(at, number)| Some((*at, *number, self.calls.get(number)?)))
    }

    pub(in crate::lane::scheduler) fn next_due_after(&self, now: Instant) -> Option<Instant> {
        self.due.range((now, u64::MAX)..).next().map(|(at, _)| *at)
    }

    pub(in crate::lane::scheduler) fn work_items_in_flight(&self) -> BTreeSet<u64> {
        let in_flight = self.calls.values().filter(|call| call.state == CallState::InFlight);
        in_flight.flat_map(|call| call.purpose.work_items().iter().copied()).collect()
    }

    pub(in crate::lane::scheduler) fn drop_waiting(&mut self) {
        for (_, number) in std::mem::take(&mut self.due) {
            self.calls.remove(&number);
        }
    }

    #[cfg(test)]
    pub(in crate::lane::scheduler) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.due.is_empty()
    }
}
