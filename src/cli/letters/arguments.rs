//! The options that say which letters are meant.

use std::str::FromStr;

use crate::dead_letter::{LetterFilter, Moment};
use crate::outcome::DeadLetterReason;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters (all that are given must hold)")]
pub(in crate::cli) struct FilterArguments {
    /// Letters of this account; _unrouted for those without one
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    #[command(flatten)]
    others: OtherFilters,
}

/// All filters but the account, which another command may have as an option of its own.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct OtherFilters {
    /// Dead-lettered for this reason, such as rejected
    #[arg(long, value_name = "REASON", value_parser = reason, hide_possible_values = true)]
    reason: Option<String>,
    /// A problem names this trait or field
    #[arg(long = "trait", value_name = "NAME")]
    trait_path: Option<String>,
    /// Events of this type: identify, track, page
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// The event's messageId, or the id that a list shows
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Dead-lettered at this time or later: 2026-03-01T09:00:00Z, or 2h or 3d ago
    #[arg(long, value_name = "TIME", value_parser = Moment::from_str)]
    since: Option<Moment>,
    /// Dead-lettered before this time
    #[arg(long, value_name = "TIME", value_parser = Moment::from_str)]
    until: Option<Moment>,
    /// Sent back at most so often before
    #[arg(long, value_name = "N")]
    max_replays: Option<u32>,
    /// The first N that match
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl FilterArguments {
    pub(in crate::cli) fn into_filter(self) -> LetterFilter {
        self.others.into_filter(self.account)
    }
}

impl OtherFilters {
    pub(in crate::cli) fn into_filter(self, account: Option<String>) -> LetterFilter {
        let Self { reason, trait_path, event_type, message_id, since, until, max_replays, limit } = self;
        LetterFilter { account, reason, trait_path, event_type, message_id, since, until, max_replays, limit }
    }
}

fn reason(word: &str) -> Result<String, String> {
    let known: Vec<&str> = DeadLetterReason::ALL.iter().map(|reason| reason.as_str()).collect();
    if known.contains(&word) {
        return Ok(word.to_owned());
    }
    Err(format!("there is no such reason; there are: {}", known.join(", ")))
}

/// Letters a second, as `50/s`.
pub(in crate::cli) fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").and_then(|number| number.trim().parse::<f64>().ok());
    number
        .filter(|rate| (0.01..=100_000.0).contains(rate))
        .ok_or_else(|| "expected letters a second, such as 50/s or 0.5/s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_its_unit() {
        for (text, expected) in [
            ("50/s", Some(50.0)),
            ("0.5/s", Some(0.5)),
            ("50", None),
            ("0/s", None),
            ("-1/s", None),
            ("NaN/s", None),
            ("inf/s", None),
            ("50/m", None),
        ] {
            assert_eq!(rate(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_reason_is_told_the_right_ones() {
        assert!(reason("rejected").is_ok());
        assert!(reason("rejcted").unwrap_err().contains("rejected"));
    }
}
