//! A point in time as people write one: a date and time, or how long ago it was.

use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// RFC 3339 (`2026-03-01T09:00:00Z`), or a span before now (`2h`, `3d`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// This very time.
    At(Timestamp),
    /// So long before now.
    Ago(SignedDuration),
}

impl Moment {
    /// The time that is meant.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(span) => now.saturating_sub(span).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        let span = text.parse::<Span>().ok();
        let span = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        span.filter(SignedDuration::is_positive).map(Self::Ago).ok_or_else(|| {
            "expected a time such as 2026-03-01T09:00:00Z, or how long ago, such as 2h or 3d".to_owned()
        })
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(time) => time.fmt(f),
            Self::Ago(span) => write!(f, "{span:#}"),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-03-01T09:00:00Z", "2026-03-01T09:00:00Z"),
            ("2026-03-01T11:00:00+02:00", "2026-03-01T09:00:00Z"),
            ("2h", "2026-03-10T10:00:00Z"),
            ("3d", "2026-03-07T12:00:00Z"),
            ("1d 12h", "2026-03-09T00:00:00Z"),
            (" 90m ", "2026-03-10T10:30:00Z"),
            ("1w", "2026-03-03T12:00:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.resolve(now).to_string(), expected, "{text}");
            let again: Moment = moment.to_string().parse().unwrap();
            assert_eq!(again, moment, "{moment}");
        }
        for text in ["", "soon", "2", "-2h", "0s", "2026-03-01", "1mo"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
