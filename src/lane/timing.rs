//! Every wait of a lane that others depend on, and the orders between them, asserted when the crate is built.
//!
//! Used by all of the lane.

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

/// How often an account's secrets are read again, at most.
pub(super) const SECRETS_READ_EVERY: Duration = Duration::from_mins(1);
/// For how long a refused call waits for that.
pub(super) const SECRETS_READ_TIMEOUT: Duration = Duration::from_secs(5);

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

pub(in crate::lane) const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);

/// Fields older than this are read again.
pub(in crate::lane) const SCHEMA_AGE: Duration = Duration::from_hours(1);
/// Before an event is refused, fields older than this are read again; so at most this often.
pub(in crate::lane) const SCHEMA_AGE_TO_REFUSE: Duration = Duration::from_mins(5);
/// Before an event is refused that was sent back, the fields are read again if that was not done for such an event within
/// this time, however new they are.
pub(in crate::lane) const REPLAY_SCHEMA_AGE: Duration = Duration::from_mins(1);
/// First and longest wait after an answer about the fields that was of no use.
pub(in crate::lane) const SCHEMA_RETRY: (Duration, Duration) =
    (Duration::from_secs(5), Duration::from_mins(5));
/// The same for a selector, which events can go without.
pub(in crate::lane) const SELECTOR_RETRY: (Duration, Duration) =
    (Duration::from_mins(1), Duration::from_hours(1));

/// How long after a delivery the next one is waited for before API work is planned.
pub(in crate::lane) const GATHER_GAP: Duration = Duration::from_millis(5);
/// For how long in all, from the first one.
pub(in crate::lane) const GATHER_FOR: Duration = Duration::from_millis(20);

/// How long a lane only reads fields after a session brought its first redelivered event.
pub(in crate::lane) const TAKE_OVER_DELAY: Duration = Duration::from_secs(3);
/// A lane that held no event for longer may have been worked on by another replica meanwhile.
pub(in crate::lane) const AWAY_FOR: Duration = Duration::from_secs(1);
/// How long calls may still take once their session is lost.
pub(in crate::lane) const LOST_SESSION_GRACE: Duration = Duration::from_secs(2);

/// The calls of the replica that had the lane before must be over when this one begins to send.
const _: () = assert!(LOST_SESSION_GRACE.as_millis() < TAKE_OVER_DELAY.as_millis());
/// Fields are never too old to refuse an event for longer than they may stay unread.
const _: () = assert!(SCHEMA_AGE_TO_REFUSE.as_millis() < SCHEMA_AGE.as_millis());
