//! One account's lane: from a delivery to its settlement.
//!
//! ```text
//! Delivery ─ intake ─► scheduler ─ requests ─► Freshsales ─ answer ─► scheduler ─ settlement ─► receipt
//! ```
//!
//! The [`runner`](Lane) drives the parts. The intake judges deliveries by the account's fields, the scheduler plans calls
//! within the budgets and is pure, the settlement answers the source. The commands start a lane for each account. A lane
//! knows mapping and Freshsales; it must not know where deliveries come from.

mod bounded;
mod budget;
pub(super) mod contact;
mod dedup;
mod effects;
mod intake;
mod reporting;
mod requests;
mod runner;
mod scheduler;
mod schema_refresh;
mod session_end;
mod settlement;
pub(crate) mod setup;
pub(super) mod status;
#[cfg(test)]
mod tests;
mod timing;

pub use crate::lane::contact::bodies::{bulk_body, single_bodies};
pub use crate::lane::contact::bulk::features::{BulkFeature, BulkFeatures, FeatureState};
pub(crate) use crate::lane::intake::judge::{Accepts, Addressed, Judged, judge_recording};
pub use crate::lane::scheduler::unsettled::window::{ContactKey, Window};
pub use crate::lane::setup::applied::AppliedSettings;
pub use crate::lane::status::facts::{
    DeliveryFacts, FieldCounts, LaneFacts, LaneFailure, NotedFieldChange, QuotaFacts, QuotasLeft, SchemaFacts,
};
pub use crate::lane::status::lane_state::LaneState;
pub use crate::lane::status::lane_status::{LaneStatus, LaneView};
pub use crate::lane::status::progress::Stuck;
pub use crate::lane::status::roster::{LaneRoster, RemovedAccount};
pub use crate::lane::status::watchdog::watch;
pub use budget::{Budget, Grant, Impediment, Quota};
pub use runner::Lane;
pub use scheduler::{Effect, Next, Scheduler, SchedulerSettings, WhileJobsRun};
pub use setup::change::LaneChanges;
pub use setup::settings::Settings;
pub use timing::BackoffSettings;
