//! What is known of all replicas and their lanes: each one's page can show the whole fleet.
//!
//! A replica surveys its own lanes, tells the others, and merges what they tell. The time is handed in, and messages are
//! bytes: it must not know how these travel. The commands put it between the lanes, the broker and the status pages.

mod board;
mod details;
mod history;
mod known_replicas;
mod merge;
mod message;
mod replica_report;
mod report;
#[cfg(test)]
pub(crate) mod samples;
mod survey;

pub use board::{FleetBoard, OwnReport};
pub use details::{CallCount, ChangedField, FailedEvent, LaneDetails, MinuteSample};
pub use known_replicas::TELL_INTERVAL;
pub use merge::{AccountInFleet, Fleet, FleetView, QueueCounts, ReplicaInFleet};
pub use replica_report::{ConfigMark, QueuesTold, ReplicaReport};
pub use report::{FieldsRead, HourCounts, LaneReport, LastError, QuotaReport, StuckReport};
pub use survey::{Survey, SurveySources};
