//! One account's lane: from delivery to settlement.
//!
//! ```text
//! Delivery ─judge─► Window ─form─► WorkItem ─plan─► Call ─quota─► Freshsales ─► answer ─► Outcome ─settle─► receipt
//!                   └──────────── Scheduler: pure ────────────┘
//! ```
//!
//! Knows mapping and Freshsales; where deliveries come from is none of its business.

mod budget;
pub(super) mod contact;
#[cfg(test)]
mod cost_tests;
mod dedup;
mod intake;
mod runner;
mod scheduler;
mod schema_refresh;
mod settlement;
pub(super) mod status;
mod timing;

pub use crate::lane::scheduler::window::{Key, Window};
pub use crate::lane::status::lane_status::{LaneState, LaneStatus, View};
pub use crate::lane::status::progress::Stuck;
pub use crate::lane::status::watchdog::watch;
pub use budget::{Budget, Grant, Impediment, Quota};
pub use runner::{Lane, Settings};
pub use scheduler::{Effect, Next, Scheduler};
pub use timing::BackoffSettings;
