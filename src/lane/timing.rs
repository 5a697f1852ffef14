//! Every wait of a lane that others depend on, and the orders between them, asserted when the crate is built.
//!
//! Knows nothing; used by all of the lane, and by the configuration for what `delivery.stuck_after` must exceed.

use std::time::Duration;

/// How long to wait where Freshsales' answer does not say it, and for how long to try.
#[derive(Debug, Clone, Copy)]
pub struct BackoffSettings {
    /// First and longest wait while Freshsales is down, unreachable, or answers nonsense.
    pub unavailable: (Duration, Duration),
    /// First and longest wait after a 429 without `Retry-After`.
    pub throttled: (Duration, Duration),
    /// First and longest wait after refused credentials.
    pub unauthorized: (Duration, Duration),
    /// First and longest wait while too many bulk jobs of the account run.
    pub jobs: (Duration, Duration),
    /// For how long a record is tried that alone gets answers which are not the API's.
    pub foreign: Duration,
    /// By then a look-up finds a contact that was just created or changed.
    pub look_up_delay: Duration,
    /// For how long a record is tried that never gets through, counted while others do.
    pub give_up_after: Duration,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            unavailable: (Duration::from_millis(500), Duration::from_mins(1)),
            throttled: (Duration::from_secs(5), Duration::from_mins(5)),
            unauthorized: (Duration::from_secs(30), Duration::from_mins(5)),
            jobs: (Duration::from_secs(2), Duration::from_mins(1)),
            foreign: Duration::from_mins(1),
            // Freshsales' look-ups lag up to about 20 seconds behind.
            look_up_delay: Duration::from_secs(22),
            give_up_after: Duration::from_hours(72),
        }
    }
}

/// How long nothing is sent where an answer says that the quota is used up, but not until when.
pub(in crate::lane) const QUOTA_PAUSE: Duration = Duration::from_mins(1);
