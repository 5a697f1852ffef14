//! One contact's events on their way: which steps they take, what each step writes, and what an answer makes of it.
//! Pure. Called by the scheduler; knows nothing of quota or time slots.

pub(super) mod address_change;
pub(super) mod bulk;
pub(super) mod cache;
pub(super) mod deals;
pub(super) mod emails;
pub(super) mod held;
pub(super) mod merge;
pub(super) mod remedy;
pub(super) mod reread;
pub(super) mod steps;
pub(super) mod tags;
pub(super) mod work_item;
