//! What is not settled: events in the window, and work items, which are events of one contact that are worked on
//! together; and who may write a record that several write. Called by the scheduler, when events come and when answers
//! move them on. Must not choose among calls: it tells the agenda what has changed.

pub(super) mod events;
pub(super) mod progress;
pub(super) mod record_locks;
pub(super) mod shared_records;
pub(in crate::lane) mod window;
pub(super) mod work_items;
