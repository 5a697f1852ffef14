//! What a lane tells of itself: log lines, metrics, and notes for the room [`status`](super::status). Called by the runner.
//! Must not decide anything.

pub(super) mod notes;
pub(super) mod quota_wait;
pub(super) mod reports;
pub(super) mod waiting;
