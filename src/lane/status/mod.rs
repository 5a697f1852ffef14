//! What a lane says of itself: its state, its progress, and whether it is stuck.

pub(super) mod lane_status;
pub(super) mod progress;
pub(super) mod watchdog;
