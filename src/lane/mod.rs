//! One account's lane: from a delivery to its settlement.
//!
//! ```text
//! Delivery ─ intake ─► scheduler ─ requests ─► Freshsales ─ answer ─► scheduler ─ settlement ─► receipt
//! ```
//!
//! The [`runner`](Lane) drives the parts. The intake judges deliveries by the account's fields, the scheduler plans calls
//! within the budgets and is pure, the settlement answers the source. The commands start a lane for each account. A lane
//! knows mapping and Freshsales; it must not know where deliveries come from.

pub(crate) mod applied;
mod bounded;
mod budget;
mod change;
pub(super) mod contact;

mod dedup;
mod effects;
mod intake;
mod notes;
mod quota_wait;
mod reports;
mod requests;
mod runner;
mod scheduler;
mod schema_refresh;
mod secrets;
mod session_end;
mod settings;
mod settlement;
pub(super) mod status;
#[cfg(test)]
mod tests;
mod timing;
mod waiting;

pub use crate::lane::applied::AppliedSettings;
pub use crate::lane::contact::bodies::{bulk_body, single_bodies};
pub use crate::lane::contact::bulk::features::{BulkFeature, BulkFeatures, FeatureState};
pub(crate) use crate::lane::intake::judge::{Accepts, Addressed, Judged, judge_recording};
pub use crate::lane::scheduler::window::{ContactKey, Window};
pub use crate::lane::status::facts::{FieldCounts, LaneFacts, LaneFailure, NotedFieldChange, QuotaFacts};
pub use crate::lane::status::lane_state::LaneState;
pub use crate::lane::status::lane_status::{LaneStatus, LaneView};
pub use crate::lane::status::progress::Stuck;
pub use crate::lane::status::roster::{LaneRoster, RemovedAccount};
pub use crate::lane::status::watchdog::watch;
pub use budget::{Budget, Grant, Impediment, Quota};
pub use change::LaneChanges;
pub use runner::Lane;
pub use scheduler::{Effect, Next, Scheduler, SchedulerSettings, WhileJobsRun};
pub use settings::Settings;
pub use timing::BackoffSettings;
