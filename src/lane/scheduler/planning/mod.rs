//! The order of a turn, and the agenda: what waits, sorted by what its next call depends on, so that a turn looks at
//! heads of queues. Asked by [`Scheduler::next`](super::Scheduler::next); must not know what an answer says.

pub(super) mod agenda;
pub(super) mod filing;
pub(super) mod gathering;
pub(super) mod order;
pub(super) mod pick;
