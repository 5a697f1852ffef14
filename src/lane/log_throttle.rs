//! Keeps one sender's mistake from filling the log: each kind of line is logged once a minute, with how often it happened
//! since. Pure: the time is handed in.

use std::collections::HashMap;
use std::hash::Hash;

use tokio::time::Instant;

use super::timing::LOG_INTERVAL;

/// When each kind of line was logged last. The kinds must be few.
#[derive(Debug)]
pub(super) struct LogThrottle<K> {
    kinds: HashMap<K, Logged>,
}

#[derive(Debug)]
struct Logged {
    at: Instant,
    held_back: u64,
}

impl<K: Hash + Eq> LogThrottle<K> {
    pub(super) fn new() -> Self {
        Self { kinds: HashMap::new() }
    }

    /// Counts one more of a kind. Returns how many to log now, if now is the time.
    pub(super) fn count(&mut self, kind: K, now: Instant) -> Option<u64> {
        let Some(logged) = self.kinds.get_mut(&kind) else {
            self.kinds.insert(kind, Logged { at: now, held_back: 0 });
            return Some(1);
        };
        logged.held_back += 1;
        if now.saturating_duration_since(logged.at) < LOG_INTERVAL {
            return None;
        }
        logged.at = now;
        Some(std::mem::take(&mut logged.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_logged_once_a_minute_with_all_that_happened_since() {
        let mut throttle = LogThrottle::new();
        let start = Instant::now();
        assert_eq!(throttle.count("city", start), Some(1));
        assert_eq!(throttle.count("city", start), None);
        assert_eq!(throttle.count("tags", start), Some(1), "another kind");
        assert_eq!(throttle.count("city", start + LOG_INTERVAL), Some(2));
        assert_eq!(throttle.count("city", start + LOG_INTERVAL), None);
    }
}
