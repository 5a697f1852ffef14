//! Counts the lines of a file that no event can be read from, for `publish`: the queue takes any text.

use serde::de::IgnoredAny;

use crate::cli::running::summary::counted;

/// The lines that were read, and those of them that are no JSON object or array.
#[derive(Debug, Default)]
pub(in crate::cli) struct MalformedLines {
    lines: u64,
    malformed: u64,
    first_opens: bool,
    last_closes: bool,
}

impl MalformedLines {
    /// Counts a line. Blank ones are not published, and not counted.
    pub(in crate::cli) fn add(&mut self, line: &[u8]) {
        // Some programs begin a file with a mark of its byte order, which is taken off an event.
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        if text.is_empty() && line.trim_ascii().is_empty() {
            return;
        }
        self.lines += 1;
        let opens = text.starts_with(b"{") || text.starts_with(b"[");
        if opens && serde_json::from_slice::<IgnoredAny>(text).is_ok() {
            return;
        }
        if self.malformed == 0 {
            self.first_opens = opens;
        }
        self.malformed += 1;
        self.last_closes = text.ends_with(b"}") || text.ends_with(b"]");
    }

    /// What to tell of them, if there are any.
    pub(in crate::cli) fn told(&self) -> Option<String> {
        let Self { lines, malformed, first_opens, last_closes } = *self;
        if malformed == 0 {
            return None;
        }
        let becomes = if malformed == 1 {
            "is no JSON object or array and becomes a dead letter"
        } else {
            "are no JSON object or array and become dead letters"
        };
        let hint = if malformed > 1 && first_opens && last_closes {
            "; it looks like JSON that is spread over lines: each line must hold one event, as `jq -c .` writes it"
        } else {
            ""
        };
        Some(format!(
            "{malformed} of {} {becomes} with the reason malformed_json{hint}",
            counted(lines, "line")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        let mut lines = MalformedLines::default();
        for line in text.lines() {
            lines.add(line.as_bytes());
        }
        lines.told()
    }

    #[test]
    fn only_lines_that_hold_no_event_are_told_of() {
        for text in ["", "\n \n", "{}", "[{}]\r\n\r\n{\"a\": 1}", "\u{feff}{}", "{\"a\":\"\\ud800\"}"] {
            assert_eq!(told(text), None, "{text:?}");
        }
        let one = "1 of 2 lines is no JSON object or array and becomes a dead letter with the reason malformed_json";
        for text in ["{}\nx", "{\"a\":\n{}", "\"{}\"\n\n{}", "{}}\n{}", "8\n[]"] {
            assert_eq!(told(text).as_deref(), Some(one), "{text:?}");
        }
        let several = told("a\n{}\n}").unwrap();
        assert!(
            several.starts_with("2 of 3 lines are no ") && several.ends_with("malformed_json"),
            "{several}"
        );
    }

    #[test]
    fn an_object_that_is_spread_over_lines_is_recognised() {
        for text in ["{\n  \"type\": \"track\"\n}\n", "[\n{},\n{}\n]"] {
            assert!(told(text).unwrap().contains("each line must hold one event"), "{text:?}");
        }
    }
}
