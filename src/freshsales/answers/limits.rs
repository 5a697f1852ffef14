//! What an answer's headers say about limits. Pure: the time is handed in.

use std::time::Duration;

use jiff::Timestamp;

/// The `x-ratelimit-*` headers, as far as they were there and readable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls an hour that all programs of the account may make together.
    pub limit: Option<u32>,
    /// Calls left in this window.
    pub remaining: Option<u32>,
    /// Until the window ends. The header's unit is not documented; see [`RateLimit::parse`].
    pub reset: Option<Duration>,
}

/// No rate limit's window is longer; a longer `reset` is in a unit that was not understood.
const LONGEST_WINDOW: Duration = Duration::from_hours(24);

/// Calls are counted by the hour, so a later reset is absurd and must not stop an account for a day. Trying again after an
/// hour costs one call.
const LONGEST_RESET: Duration = Duration::from_hours(1);

impl RateLimit {
    /// Reads the three headers through `header`. A small `reset` is seconds from now, a large one a Unix time in seconds,
    /// a very large one a Unix time in milliseconds.
    pub fn parse<'a>(header: impl Fn(&str) -> Option<&'a str>, now: Timestamp) -> Self {
        let number = |name: &str| header(name).and_then(|text| text.trim().parse::<u32>().ok());
        Self {
            limit: number("x-ratelimit-limit"),
            remaining: number("x-ratelimit-remaining"),
            reset: header("x-ratelimit-reset").and_then(|text| reset(text, now)),
        }
    }
}

fn reset(text: &str, now: Timestamp) -> Option<Duration> {
    let number = text.trim().parse::<u64>().ok()?;
    let time = match number {
        0..=86_400 => return Some(Duration::from_secs(number).min(LONGEST_RESET)),
        86_401..=99_999_999_999 => Timestamp::from_second(i64::try_from(number).ok()?),
        _ => Timestamp::from_millisecond(i64::try_from(number).ok()?),
    };
    Some(until(time.ok()?, now)).filter(|wait| *wait <= LONGEST_WINDOW).map(|wait| wait.min(LONGEST_RESET))
}

/// Reads `Retry-After`: seconds, or an HTTP date in any of its three forms. A date in the past means "now". More than a day
/// counts as a day, or one absurd answer would stop an account until the daemon is restarted.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if let Ok(seconds) = text.parse::<u32>() {
        Duration::from_secs(u64::from(seconds))
    } else {
        until(date(text)?, now)
    };
    Some(wait.min(LONGEST_WINDOW))
}

/// An HTTP date, in any of its forms.
pub(in crate::freshsales) fn date(text: &str) -> Option<Timestamp> {
    match httpdate::parse_http_date(text) {
        Ok(time) => time.try_into().ok(),
        // Some servers write an offset in place of GMT, as in mail.
        Err(_) => Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp()),
    }
}

fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 01 Mar 2026 12:01:30 GMT", Some(90)),
            ("Sun, 01 Mar 2026 11:00:00 GMT", Some(0)),
            ("Sunday, 01-Mar-26 12:01:30 GMT", Some(90)),
            ("Sun Mar  1 12:01:30 2026", Some(90)),
            ("Sun, 01 Mar 2026 13:01:30 +0100", Some(90)),
            ("Sunday, 01-Mar-26 11:00:00 GMT", Some(0)),
            ("Sun Mar  1 12:01:30 2099", Some(86_400)),
            ("Sun Mar 32 12:01:30 2026", None),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now()), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn reset_is_read_in_whatever_unit_it_comes() {
        let at = now().as_second() + 600;
        for (text, expected) in [
            ("600".to_owned(), Some(600)),
            (at.to_string(), Some(600)),
            (format!("{at}000"), Some(600)),
            ("0".to_owned(), Some(0)),
            ("1".to_owned(), Some(1)),
            ("86400".to_owned(), Some(3600)),
            ((at + 50_000).to_string(), Some(3600)),
            ((at - 1200).to_string(), Some(0)),
            ((at + 100_000).to_string(), None),
            ("18446744073709551615".to_owned(), None),
            ("x".to_owned(), None),
        ] {
            let read = RateLimit::parse(|name| (name == "x-ratelimit-reset").then_some(text.as_str()), now());
            assert_eq!(read.reset, expected.map(Duration::from_secs), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(text in "\\PC*", number in proptest::num::u64::ANY) {
            let number = number.to_string();
            for text in [text.as_str(), number.as_str()] {
                let read = RateLimit::parse(|_| Some(text), now());
                proptest::prop_assert!(read.reset.is_none_or(|wait| wait <= LONGEST_WINDOW));
                retry_after(text, now());
            }
        }
    }
}
