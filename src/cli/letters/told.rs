//! Words about letters: who, when, how many, what is wrong.

use jiff::{Timestamp, Unit};

use crate::broker::LettersSeen;
use crate::config;
use crate::outcome::Problem;
use crate::words::{counted, grouped};

/// The longest text about a problem in a list, in characters.
const LONGEST_PROBLEM: usize = 120;

/// Who gives the command: `user@host, pid 123`.
pub(in crate::cli) fn operator() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| config::environment(name));
    let host = hostname::get().ok().and_then(|name| name.into_string().ok());
    let (user, host) = (user.as_deref().unwrap_or("somebody"), host.as_deref().unwrap_or("somewhere"));
    format!("{user} on {host}, pid {}", std::process::id())
}

/// "1 letter", "1,234 letters".
pub(in crate::cli) fn letters(number: u64) -> String {
    counted(number, "letter", "letters")
}

pub(in crate::cli) fn count(number: u64) -> String {
    grouped(number)
}

/// `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
pub(in crate::cli) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        86_400.. => format!("{} d {} h", count(days), hours % 24),
    }
}

/// How long ago, for what happened in the last two days; else the date.
pub(in crate::cli) fn when(time: Option<Timestamp>, now: Timestamp) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let seconds = now.duration_since(time).as_secs();
    match seconds {
        ..0 => time.to_string(),
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        172_800.. => time
            .round(Unit::Minute)
            .map_or_else(|_| time.to_string(), |time| time.strftime("%Y-%m-%d %H:%M").to_string()),
    }
}

/// A problem in one line: `cfPlan: not one of the choices; expected gold, silver; got a string`.
pub(in crate::cli) fn problem(problem: &Problem) -> String {
    let Problem { field, trait_path, problem, expected, got, .. } = problem;
    let mut text = String::new();
    if let Some(name) = trait_path.as_ref().or(field.as_ref()) {
        text.push_str(name);
        text.push_str(": ");
    }
    text.push_str(problem);
    for (word, value) in [("expected", expected), ("got", got)] {
        if let Some(value) = value {
            text.push_str("; ");
            text.push_str(word);
            text.push(' ');
            text.push_str(value);
        }
    }
    text
}

/// The same, cut to what a list has room for.
pub(in crate::cli) fn short_problem(wrong: &Problem) -> String {
    let text = problem(wrong);
    if text.chars().count() <= LONGEST_PROBLEM {
        return text;
    }
    text.chars().take(LONGEST_PROBLEM - 1).chain(['…']).collect()
}

/// That letters were not to be had.
pub(in crate::cli) fn unseen(LettersSeen { at_start, seen }: LettersSeen) -> Option<String> {
    let missing = at_start.saturating_sub(seen);
    (missing > 0).then(|| {
        format!(
            "{} could not be read: another program holds them (rabbitmqctl list_consumers); try again later",
            letters(missing)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_do() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        for (time, told) in [
            ("2026-03-10T11:59:30Z", "30 s ago"),
            ("2026-03-10T11:58:00Z", "2 min ago"),
            ("2026-03-09T12:00:00Z", "24 h ago"),
            ("2026-03-01T09:00:12Z", "2026-03-01 09:00"),
            ("2026-03-10T12:00:09Z", "2026-03-10T12:00:09Z"),
        ] {
            assert_eq!(when(time.parse().ok(), now), told);
        }
        assert_eq!(when(None, now), "-");
    }

    #[test]
    fn a_problem_is_one_line_and_a_long_one_is_cut() {
        let mut wrong = Problem {
            field: Some("cf_plan".into()),
            trait_path: Some("cfPlan".into()),
            problem: "no such choice".into(),
            expected: Some("gold".into()),
            got: Some("a string".into()),
            ..Problem::default()
        };
        assert_eq!(problem(&wrong), "cfPlan: no such choice; expected gold; got a string");
        wrong.expected = Some("é".repeat(500));
        assert_eq!(short_problem(&wrong).chars().count(), LONGEST_PROBLEM);
    }
}
