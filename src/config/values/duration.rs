//! Durations with a unit, as the configuration and the options of commands have them.

use std::time::Duration;

/// A duration such as `30s`, `200ms` or `1h30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    // The library does not read days, which a calendar may give another length; here a day is 24 hours.
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) if !days.is_empty() && days.bytes().all(|byte| byte.is_ascii_digit()) => {
            (days, rest)
        }
        _ => ("0", text),
    };
    let days = days.parse::<u32>().ok().map(|days| Duration::from_hours(24).saturating_mul(days));
    let rest = if rest.is_empty() && text.ends_with('d') {
        Some(Duration::ZERO)
    } else {
        rest.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok())
    };
    days.zip(rest)
        .and_then(|(days, rest)| days.checked_add(rest))
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| {
            "expected a duration above zero with its unit, such as \"200ms\", \"30s\" or \"3d\"".to_owned()
        })
}
