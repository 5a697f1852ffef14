//! Why a lane waits. The lane finds the one reason at each turn; the state that people see and whether the watchdog
//! excuses the wait are functions of it.

use super::lane_state::LaneState;

/// Why a lane that holds events does not settle them now. The first that holds is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum WaitReason {
    /// Freshsales refuses the credentials.
    Unauthorized,
    /// The account's fields are being read for the first time.
    Schema,
    /// They cannot be read for now, for one of the reasons below.
    SchemaBlocked,
    /// The last answer about them was of no use; they are read again later.
    SchemaRetry,
    /// Freshsales asked for fewer calls, or says that none are left.
    Throttled,
    /// Freshsales is down, unreachable or answers nonsense.
    Outage,
    /// The source has not shown lately that the lane is still this replica's.
    Lease,
    /// The calls of the replica that had the lane before may not be over.
    TakeOver,
    /// Events need the fields of deals or sales accounts, which are read again later.
    SchemaOfRelated,
    /// A call that failed waits to be sent again.
    Retry,
    /// The lane's own share of the quota is spent.
    Quota,
}

impl WaitReason {
    /// What people see of it.
    pub(super) fn state(self) -> LaneState {
        match self {
            Self::Unauthorized => LaneState::Unauthorized,
            Self::Schema | Self::SchemaBlocked | Self::SchemaRetry => LaneState::WaitingForSchema,
            Self::Throttled => LaneState::Throttled,
            Self::Outage => LaneState::Retrying,
            Self::Lease | Self::TakeOver | Self::SchemaOfRelated | Self::Retry | Self::Quota => {
                LaneState::Flowing
            }
        }
    }

    /// Whether a restart would not end the wait. Fields that are being read are answered within a request's time.
    pub(super) fn may_last(self) -> bool {
        match self {
            Self::Schema => false,
            Self::Unauthorized
            | Self::SchemaBlocked
            | Self::SchemaRetry
            | Self::Throttled
            | Self::Outage
            | Self::Lease
            | Self::TakeOver
            | Self::SchemaOfRelated
            | Self::Retry
            | Self::Quota => true,
        }
    }
}

/// Why a lane waits, and the words for people where there are some, without personal data.
#[derive(Debug, Clone, Copy)]
pub(in crate::lane) struct Wait<'a> {
    pub(in crate::lane) reason: WaitReason,
    pub(in crate::lane) why: Option<&'a str>,
}
