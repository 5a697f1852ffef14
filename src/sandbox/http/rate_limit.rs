//! The hourly quota: a fixed window of one hour, as Freshsales' plans count.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_hours(1);

/// The smallest plan's quota.
const DEFAULT_REQUESTS_PER_HOUR: u32 = 1000;

pub(in crate::sandbox) struct HourlyQuota {
    limit: u32,
    used: u32,
    started: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) struct Allowance {
    pub(in crate::sandbox) allowed: bool,
    limit: u32,
    remaining: u32,
    reset_seconds: u64,
}

impl HourlyQuota {
    pub(in crate::sandbox) fn new(limit: Option<u32>, now: Instant) -> Self {
        Self { limit: limit.unwrap_or(DEFAULT_REQUESTS_PER_HOUR), used: 0, started: now }
    }

    /// Counts one call, unless the quota is used up.
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
            // Rounded up, so that a caller who waits this long finds the next hour begun.
            reset_seconds: left.as_secs() + u64::from(left.subsec_nanos() > 0),
        }
    }
}

impl Allowance {
    /// Adds the three `x-ratelimit-..` headers.
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(self.limit));
        headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(self.remaining));
        headers.insert(HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(self.reset_seconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_ends_when_used_up_and_is_whole_again_after_an_hour() {
        let start = Instant::now();
        let mut quota = HourlyQuota::new(Some(2), start);
        assert_eq!(
            quota.take(start),
            Allowance { allowed: true, limit: 2, remaining: 1, reset_seconds: 3600 }
        );
        assert!(quota.take(start).allowed);
        let late = start + Duration::from_millis(3_599_500);
        assert_eq!(quota.take(late), Allowance { allowed: false, limit: 2, remaining: 0, reset_seconds: 1 });
        assert!(quota.take(start + HOUR).allowed);
        assert!(quota.take(start + 5 * HOUR).allowed, "idle hours are not saved up, nor do they block");
    }
}
