//! What a lane shows of itself to the rest of the process: its state and why it waits, its progress, whether it is stuck.
//! Knows nothing of events or calls.

pub(super) mod lane_state;
pub(super) mod lane_status;
pub(super) mod progress;
pub(super) mod roster;
pub(super) mod wait;
pub(super) mod watchdog;
