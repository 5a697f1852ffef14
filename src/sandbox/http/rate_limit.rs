//! The hourly quota: a fixed window of one hour, as the plans count.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_hours(1);

/// The smallest plan's quota, taken where none is named.
const DEFAULT_REQUESTS_PER_HOUR: u32 = 1000;

/// How many calls this hour allows, and how many were made.
pub(in crate::sandbox) struct HourlyQuota {
    limit: u32,
    used: u32,
    started: Instant,
}

/// What the window says to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) struct Allowance {
    /// The call may be answered.
    pub(in crate::sandbox) allowed: bool,
    limit: u32,
    remaining: u32,
    reset_seconds: u64,
}

impl HourlyQuota {
    pub(in crate::sandbox) fn new(limit: Option<u32>, now: Instant) -> Self {
        Self { limit: limit.unwrap_or(DEFAULT_REQUESTS_PER_HOUR), used: 0, started: now }
    }

    /// Counts one call, if there is room for it. A refused call costs nothing.
    pub(in crate::sandbox) fn take(&mut self, now: Instant) -> Allowance {
        while now.duration_since(self.started) >= HOUR {
            self.started += HOUR;
            self.used = 0;
        }
        let allowed = self.used < self.limit;
        if allowed {
            self.used += 1;
        }
        let left = HOUR.saturating_sub(now.duration_since(self.started));
        Allowance {
            allowed,
            limit: self.limit,
            remaining: self.limit.saturating_sub(self.used),
            // Rounded up: who waits this long must find the window open.
            reset_seconds: left.as_secs() + u64::from(left.subsec_nanos() > 0),
        }
    }
}

impl Allowance {
    /// Adds the three headers that tell a caller where it stands.
    pub(in crate::sandbox) fn tell(self, headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(self.limit));
        headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(self.remaining));
        headers.insert(HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(self.reset_seconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_closes_when_used_up_and_opens_again_on_the_hour() {
        let start = Instant::now();
        let mut window = HourlyQuota::new(Some(2), start);
        assert_eq!(
            window.take(start),
            Allowance { allowed: true, limit: 2, remaining: 1, reset_seconds: 3600 }
        );
        assert!(window.take(start).allowed);
        let late = start + Duration::from_millis(3_599_500);
        assert_eq!(window.take(late), Allowance { allowed: false, limit: 2, remaining: 0, reset_seconds: 1 });
        assert!(window.take(start + HOUR).allowed);
        assert!(window.take(start + 5 * HOUR).allowed, "idle hours are not saved up, nor do they block");
    }
}
