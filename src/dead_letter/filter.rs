//! Which dead letters are meant. One type for the commands and the status page.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::listed::ListedLetter;
use super::moment::Moment;
use crate::delivery::UNROUTED;

/// All that is set must hold. Without anything set it means every letter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LetterFilter {
    /// Its name, or `_unrouted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// A word of the table of reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A trait or a field that one of the problems names.
    #[serde(rename = "trait", skip_serializing_if = "Option::is_none")]
    pub trait_path: Option<String>,
    /// Of the event.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// The event's `messageId`, or the letter's id as a list shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Failed at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    /// Failed before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Sent back no more often than this before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replays: Option<u32>,
    /// The first so many of those that match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// A filter whose times are fixed, and that counts down its limit.
#[derive(Debug, Clone)]
pub struct LetterSelection {
    filter: LetterFilter,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl LetterFilter {
    /// Whether it means every letter.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// With spans counted back from `now`.
    pub fn selection(self, now: Timestamp) -> LetterSelection {
        let (since, until) = (self.since, self.until);
        let fixed = |moment: Option<Moment>| moment.map(|moment| moment.resolve(now));
        LetterSelection { since: fixed(since), until: fixed(until), filter: self }
    }
}

/// As options of a command, without the values that may name a person.
impl std::fmt::Display for LetterFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moment = |moment: Option<Moment>| moment.map(|moment| moment.to_string());
        let options = [
            ("account", self.account.clone()),
            ("reason", self.reason.clone()),
            ("trait", self.trait_path.clone()),
            ("type", self.event_type.clone()),
            ("message-id", self.message_id.clone()),
            ("since", moment(self.since)),
            ("until", moment(self.until)),
            ("max-replays", self.max_replays.map(|number| number.to_string())),
            ("limit", self.limit.map(|number| number.to_string())),
        ];
        let mut any = false;
        for (name, value) in options.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            write!(f, "{}--{name} {value}", if any { " " } else { "" })?;
            any = true;
        }
        if any { Ok(()) } else { f.write_str("all") }
    }
}

impl LetterSelection {
    /// The most letters that may be taken.
    pub fn limit(&self) -> u64 {
        self.filter.limit.unwrap_or(u64::MAX)
    }

    /// Whether the letter is meant, whatever the limit.
    pub fn holds(&self, letter: &ListedLetter) -> bool {
        let LetterFilter { account, reason, trait_path, event_type, message_id, max_replays, .. } =
            &self.filter;
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let in_time = |bound: Option<Timestamp>, holds: fn(Timestamp, Timestamp) -> bool| {
            bound.is_none_or(|bound| letter.failed_at.is_some_and(|failed_at| holds(failed_at, bound)))
        };
        is(account, Some(letter.account.as_deref().unwrap_or(UNROUTED)))
            && is(reason, letter.reason.as_deref())
            && is(event_type, letter.event_type.as_deref())
            && (is(message_id, letter.message_id.as_deref()) || is(message_id, Some(&letter.id)))
            && trait_path.as_deref().is_none_or(|wanted| letter.concerns(wanted))
            && in_time(self.since, |failed_at, since| failed_at >= since)
            && in_time(self.until, |failed_at, until| failed_at < until)
            && max_replays.is_none_or(|most| letter.replays <= u64::from(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Problem;

    fn letter() -> ListedLetter {
        ListedLetter {
            id: "m-1".into(),
            account: Some("acme".into()),
            reason: Some("invalid_custom_field".into()),
            event_type: Some("identify".into()),
            message_id: Some("m-1".into()),
            failed_at: Some("2026-03-01T09:00:00Z".parse().unwrap()),
            attempts: 0,
            http_status: None,
            replays: 2,
            bytes: 100,
            problems: vec![Problem {
                field: Some("cf_plan".into()),
                trait_path: Some("cfPlan".into()),
                ..Problem::default()
            }],
        }
    }

    #[test]
    fn every_filter_takes_what_it_names_and_nothing_else() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (json, holds) in [
            ("{}", true),
            (r#"{"account":"acme"}"#, true),
            (r#"{"account":"globex"}"#, false),
            (r#"{"account":"_unrouted"}"#, false),
            (r#"{"reason":"invalid_custom_field"}"#, true),
            (r#"{"reason":"rejected"}"#, false),
            (r#"{"trait":"cfPlan"}"#, true),
            (r#"{"trait":"cf_plan"}"#, true),
            (r#"{"trait":"cf"}"#, false),
            (r#"{"type":"identify"}"#, true),
            (r#"{"type":"track"}"#, false),
            (r#"{"message_id":"m-1"}"#, true),
            (r#"{"message_id":"m-2"}"#, false),
            (r#"{"since":"4h"}"#, true),
            (r#"{"since":"2h"}"#, false),
            (r#"{"until":"2h"}"#, true),
            (r#"{"until":"2026-03-01T09:00:00Z"}"#, false),
            (r#"{"since":"2026-03-01T09:00:00Z"}"#, true),
            (r#"{"max_replays":2}"#, true),
            (r#"{"max_replays":1}"#, false),
            (r#"{"account":"acme","reason":"rejected"}"#, false),
        ] {
            let filter: LetterFilter = serde_json::from_str(json).unwrap();
            assert_eq!(filter.selection(now).holds(&letter()), holds, "{json}");
        }
        assert!(serde_json::from_str::<LetterFilter>(r#"{"acount":"acme"}"#).is_err());
    }

    #[test]
    fn letters_without_a_time_are_in_no_span_and_without_an_account_unrouted() {
        let mut letter = letter();
        (letter.failed_at, letter.account) = (None, None);
        let holds = |filter: LetterFilter| filter.selection(Timestamp::now()).holds(&letter);
        let all_time = Moment::At(Timestamp::MIN);
        assert!(!holds(LetterFilter { since: Some(all_time), ..LetterFilter::default() }));
        assert!(holds(LetterFilter { account: Some(UNROUTED.into()), ..LetterFilter::default() }));
    }

    #[test]
    fn a_filter_is_shown_as_the_options_that_make_it() {
        let filter = LetterFilter {
            account: Some("acme".into()),
            since: Some("2h".parse().unwrap()),
            limit: Some(20),
            ..LetterFilter::default()
        };
        assert_eq!(filter.to_string(), "--account acme --since 2h --limit 20");
        assert_eq!(LetterFilter::default().to_string(), "all");
    }
}
