//! `[delivery]`: how calls to Freshsales are made, for all accounts.

use std::time::Duration;

use super::reading::reader::Section;
use super::values::duration::parse_duration;
use crate::freshsales::BULK_JOB_LIMIT;

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
        let request_timeout = section.duration("request_timeout").unwrap_or(Duration::from_secs(30));
        let config = Self {
            request_timeout,
            shutdown_grace: section.duration("shutdown_grace").unwrap_or(Duration::from_secs(25)),
            stuck_after: stuck_after(&mut section, request_timeout),
            give_up_after: section
                .parsed("give_up_after", at_least_a_second)
                .unwrap_or(Duration::from_hours(72)),
            concurrency: section.whole("concurrency", 1..=256).map_or(8, |number| number as usize),
        };
        section.finish();
        config
    }
}

/// Longer than a lane may wait for one answer or one bulk job: restarting it then would lose the wait and mend nothing.
fn stuck_after(section: &mut Section<'_>, request_timeout: Duration) -> Duration {
    let after = section.parsed("stuck_after", at_least_a_second).unwrap_or(Duration::from_mins(15));
    if after <= BULK_JOB_LIMIT.max(request_timeout) {
        let job = BULK_JOB_LIMIT.as_secs() / 60;
        let message =
            format!("expected more than a bulk job may take ({job}m), and more than request_timeout");
        section.problem("stuck_after", message);
    }
    after
}

/// Lanes are checked once a second.
fn at_least_a_second(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if duration < Duration::from_secs(1) {
        return Err("expected at least one second".to_owned());
    }
    Ok(duration)
}
