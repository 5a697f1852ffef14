//! Numbers, times and states as the pages write them. What this returns needs no escaping: it is made of digits and of
//! words that stand here.

use jiff::Timestamp;

use crate::lane::LaneState;
use crate::words::grouped;

/// A span of time by its largest unit.
pub(in crate::status) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (2.., _, _) => format!("{days} days"),
        (_, 2.., _) => format!("{hours} h"),
        (_, _, 2..) => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    }
}

/// A measured number of seconds, as short as it can be said.
pub(in crate::status) fn seconds(seconds: f64) -> String {
    let seconds = seconds.max(0.1);
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3600.0)
    }
}

pub(in crate::status) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes.div_ceil(1 << 20)))
}

/// The change against a number before, in words.
pub(in crate::status) fn change(now: u64, before: u64) -> String {
    match (now, before) {
        (0, 0) => "none before either".to_owned(),
        (_, 0) => "none the hour before".to_owned(),
        (now, before) if now == before => "as the hour before".to_owned(),
        (now, before) => {
            let more = now > before;
            let percent = u128::from(now.abs_diff(before)) * 100 / u128::from(before);
            match (more, percent) {
                (true, 1000..) => "over ten times the hour before".to_owned(),
                (true, percent) => format!("+{percent} % against the hour before"),
                (false, percent) => format!("−{percent} % against the hour before"),
            }
        }
    }
}

/// A point in time, with what is needed to write it for people and for programs.
#[derive(Debug, Clone)]
pub(in crate::status) struct TimeShown {
    at: Timestamp,
    now: Timestamp,
    /// Before the span, after the span.
    around: (&'static str, &'static str),
}

impl TimeShown {
    /// As so long ago, or in so long.
    pub(in crate::status) fn relative(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now, around: if at > now { ("in ", "") } else { ("", " ago") } }
    }

    /// As a span alone.
    pub(in crate::status) fn age(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now, around: ("", "") }
    }

    /// The point itself, as an element.
    pub(in crate::status) fn exact(at: Timestamp) -> String {
        format!("<time datetime=\"{}\">{}</time>", at.strftime("%FT%TZ"), at.strftime("%F %T UTC"))
    }

    /// For people who cannot point at it.
    pub(in crate::status) fn text(&self) -> String {
        let seconds = self.now.as_second().abs_diff(self.at.as_second());
        let (before, after) = self.around;
        format!("{before}{}{after}", span(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }

    /// An element that holds both forms.
    pub(in crate::status) fn html(&self) -> String {
        let Self { at, .. } = self;
        let exact = at.strftime("%F %T UTC");
        let machine = at.strftime("%FT%TZ");
        format!("<time datetime=\"{machine}\" title=\"{exact}\">{}</time>", self.text())
    }
}

/// The name of a heading within a page, as forges make it.
pub(in crate::status) fn slug(title: &str) -> String {
    let kept = title.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// The time of day in UTC.
pub(in crate::status) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M UTC").to_string()
}

/// A state of a lane for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::status) struct StateWords {
    /// As in the metric.
    pub(in crate::status) key: &'static str,
    /// What the page says.
    pub(in crate::status) word: &'static str,
    /// So that colour alone tells nothing.
    pub(in crate::status) shape: &'static str,
}

/// What the page says of a lane that settles nothing.
pub(in crate::status) const STUCK: StateWords = StateWords { key: "stuck", word: "stuck", shape: "✖" };

pub(in crate::status) const fn state(state: LaneState) -> StateWords {
    let (word, shape) = match state {
        LaneState::Unauthorized => ("unauthorized", "■"),
        LaneState::WaitingForSchema => ("waiting for fields", "◆"),
        LaneState::Throttled => ("throttled", "▲"),
        LaneState::Retrying => ("retrying", "▼"),
        LaneState::Flowing => ("flowing", "●"),
        LaneState::Standby => ("standby", "○"),
    };
    StateWords { key: state.as_str(), word, shape }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::counted;

    #[test]
    fn numbers_and_spans_are_written_for_people() {
        let numbers = [0, 7, 999, 1000, 12_345, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
        let spans = [-5, 0, 59, 119, 120, 7199, 7200, 172_799, 172_800].map(span);
        assert_eq!(spans, ["0 s", "0 s", "59 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
        let measured = [0.0, 9.96, 119.4, 3600.0, 9000.0].map(seconds);
        assert_eq!(measured, ["0.1 s", "10.0 s", "119 s", "60 min", "2.5 h"]);
        assert_eq!([1, 0].map(|number| counted(number, "event", "events")), ["1 event", "0 events"]);
    }

    #[test]
    fn a_change_is_told_in_words_where_a_percentage_says_nothing() {
        for (now, before, words) in [
            (0, 0, "none before either"),
            (5, 0, "none the hour before"),
            (5, 5, "as the hour before"),
            (15, 10, "+50 % against the hour before"),
            (0, 10, "−100 % against the hour before"),
            (u64::MAX, 1, "over ten times the hour before"),
        ] {
            assert_eq!(change(now, before), words);
        }
    }

    #[test]
    fn a_time_is_written_for_people_and_for_programs() {
        let now: Timestamp = "2026-03-01T12:00:00.5Z".parse().unwrap();
        let before: Timestamp = "2026-03-01T09:00:00Z".parse().unwrap();
        assert_eq!(
            TimeShown::relative(before, now).html(),
            "<time datetime=\"2026-03-01T09:00:00Z\" title=\"2026-03-01 09:00:00 UTC\">3 h ago</time>"
        );
        assert_eq!(TimeShown::relative(now, before).text(), "in 3 h");
        assert_eq!(TimeShown::age(before, now).text(), "3 h");
        assert_eq!(clock(before), "09:00 UTC");
    }
}
