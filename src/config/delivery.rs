//! `[delivery]`: how calls to Freshsales are made, for all accounts.

use std::time::Duration;

use super::duration::parse_duration;
use super::reader::Section;

/// `[delivery]`
#[derive(Debug, Clone)]
pub struct DeliveryConfig {
    /// How long a call may take, until its whole response has arrived.
    pub request_timeout: Duration,
    /// How long calls in flight may take to end after SIGTERM.
    pub shutdown_grace: Duration,
    /// How long a lane with work and nothing in its way may settle nothing before it counts as stuck.
    pub stuck_after: Duration,
    /// How long a record's calls may fail, while others succeed, before its event is dead-lettered.
    pub give_up_after: Duration,
    /// The most calls of an account in flight at once.
    pub concurrency: usize,
}

impl DeliveryConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            request_timeout: section.duration("request_timeout").unwrap_or(Duration::from_secs(30)),
            shutdown_grace: section.duration("shutdown_grace").unwrap_or(Duration::from_secs(25)),
            stuck_after: section.parsed("stuck_after", at_least_a_second).unwrap_or(Duration::from_mins(15)),
            give_up_after: section
                .parsed("give_up_after", at_least_a_second)
                .unwrap_or(Duration::from_hours(72)),
            concurrency: section.whole("concurrency", 1..=256).map_or(8, |number| number as usize),
        };
        section.finish();
        config
    }
}

/// Lanes are checked once a second.
fn at_least_a_second(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if duration < Duration::from_secs(1) {
        return Err("expected at least one second".to_owned());
    }
    Ok(duration)
}
