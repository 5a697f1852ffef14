//! The states of a lane that people see, in metrics, logs and on the status page.

use serde::{Deserialize, Serialize};

/// The state of a lane. Where several hold, the first one is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// Freshsales refuses the credentials; events are kept, and fields are read now and then to find out whether it
    /// still does.
    Unauthorized,
    /// The account's fields are not known yet.
    WaitingForSchema,
    /// Freshsales asked for fewer calls, or the account's quota is used up.
    Throttled,
    /// Freshsales is down, unreachable or answers nonsense.
    Retrying,
    /// Nothing keeps events from being delivered.
    Flowing,
    /// No event came to this replica in this session; another replica may have the lane.
    Standby,
}

impl LaneState {
    pub(super) const ALL: [Self; 6] = [
        Self::Unauthorized,
        Self::WaitingForSchema,
        Self::Throttled,
        Self::Retrying,
        Self::Flowing,
        Self::Standby,
    ];

    /// The label in the metric `freshet_lane_state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::WaitingForSchema => "waiting_for_schema",
            Self::Throttled => "throttled",
            Self::Retrying => "retrying",
            Self::Flowing => "flowing",
            Self::Standby => "standby",
        }
    }
}
