//! `[[accounts]]`: one Freshsales account each.

use std::collections::BTreeMap;

use super::access::{AccountAccess, required};
use super::claims::AccountClaims;
use super::reading::reader::{Environment, Section};
use super::values::choices::RecordChoices;
use crate::delivery::AccountName;
use crate::mapping::MappingRules;
use crate::schema::PerEntity;
use crate::segment::EventType;

/// `[[accounts]]`
#[derive(Debug, Clone, PartialEq)]
pub struct AccountConfig {
    /// Names the account's lane and queue; a label of metrics.
    pub name: AccountName,
    #[expect(missing_docs, reason = "described at its type")]
    pub access: AccountAccess,
    /// How much of the account's limits may be used.
    pub limits: AccountLimits,
    /// Whose events are routed to it.
    pub sources: SegmentSources,
    /// The types of events that it takes.
    pub events: Vec<EventType>,
    /// How traits become fields.
    pub mapping: MappingRules,
    #[expect(missing_docs, reason = "described at its type")]
    pub records: RecordChoices,
}

/// How much of an account's limits may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccountLimits {
    /// API calls an hour: the plan's, times `quota_share`.
    pub requests_per_hour: f64,
    /// The part of the account's remaining quota that may be used.
    pub quota_share: f64,
    /// Calls a minute to the tracking endpoints.
    pub tracking_requests_per_minute: f64,
    /// The most bulk jobs that may run at once.
    pub bulk_jobs: usize,
}

/// The keys of the Segment sources whose events belong to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as Segment calls them")]
pub struct SegmentSources {
    pub write_keys: Vec<String>,
    pub project_ids: Vec<String>,
}

/// Freshsales' limits by plan, in calls an hour.
const PLANS: &[(&str, u32)] = &[("free", 1000), ("growth", 1000), ("pro", 2000), ("enterprise", 5000)];
const DEFAULT_PLAN: u32 = 1000;
const DEFAULT_SHARE: f64 = 0.9;
const DEFAULT_TRACKING_PER_MINUTE: u32 = 400;
/// Freshsales runs about ten jobs of an account at once, counting those of all programs.
const MOST_BULK_JOBS: u32 = 10;
const DEFAULT_BULK_JOBS: u32 = 6;

impl AccountConfig {
    /// What it claims for itself alone, and the account; `None` if a key that every account needs is missing or wrong, which
    /// has been reported. With an environment, the secrets are read, too, and those that are not there are reported.
    pub(super) fn read(
        mut section: Section<'_>,
        secrets: Option<Environment<'_>>,
    ) -> (AccountClaims, Option<Self>) {
        let name = required(&mut section, "name", |section| section.parsed("name", account_name));
        let access = AccountAccess::read(&mut section, secrets);
        let limits = limits(&mut section);
        let sources = SegmentSources {
            write_keys: section.strings("write_keys").unwrap_or_default(),
            project_ids: section.strings("project_ids").unwrap_or_default(),
        };
        let events = events(&mut section);
        let mapping = mapping(&mut section);
        let records = RecordChoices::read(&mut section);
        section.finish();
        let claims = AccountClaims {
            name: name.clone(),
            write_keys: sources.write_keys.clone(),
            project_ids: sources.project_ids.clone(),
        };
        let (Some(name), Some(access)) = (name, access) else { return (claims, None) };
        let account = Self { name: name.into(), access, limits, sources, events, mapping, records };
        (claims, Some(account))
    }
}

fn limits(section: &mut Section<'_>) -> AccountLimits {
    let hourly = hourly(section);
    let quota_share = section.number("quota_share", 0.01..=1.0).unwrap_or(DEFAULT_SHARE);
    let tracking =
        section.whole("tracking_requests_per_minute", 1..=100_000).unwrap_or(DEFAULT_TRACKING_PER_MINUTE);
    let bulk_jobs = section.whole("bulk_jobs", 1..=MOST_BULK_JOBS).unwrap_or(DEFAULT_BULK_JOBS);
    AccountLimits {
        requests_per_hour: f64::from(hourly) * quota_share,
        quota_share,
        tracking_requests_per_minute: f64::from(tracking),
        bulk_jobs: bulk_jobs as usize,
    }
}

fn hourly(section: &mut Section<'_>) -> u32 {
    let plan = section.parsed("plan", |text| {
        PLANS.iter().find(|(name, _)| *name == text).map(|(_, calls)| *calls).ok_or_else(|| {
            let names: Vec<_> = PLANS.iter().map(|(name, _)| *name).collect();
            format!("expected one of {}; or say requests_per_hour = N", names.join(", "))
        })
    });
    let explicit = section.whole("requests_per_hour", 1..=10_000_000);
    if plan.is_some() && explicit.is_some() {
        section.problem("requests_per_hour", "say either this or `plan`, not both");
    }
    explicit.or(plan).unwrap_or(DEFAULT_PLAN)
}

fn events(section: &mut Section<'_>) -> Vec<EventType> {
    let Some(words) = section.strings("events") else { return EventType::ALL.to_vec() };
    let mut types = Vec::new();
    for (index, word) in words.iter().enumerate() {
        match EventType::from_word(word) {
            Some(event_type) => types.push(event_type),
            None => section.problem(&format!("events[{index}]"), "expected identify, track or page"),
        }
    }
    types
}

fn mapping(section: &mut Section<'_>) -> MappingRules {
    MappingRules {
        fields: PerEntity {
            contact: overrides(section, "fields"),
            sales_account: overrides(section, "company_fields"),
            deal: overrides(section, "deal_fields"),
        },
        defaults: PerEntity {
            contact: section.value_table("defaults"),
            sales_account: section.value_table("company_defaults"),
            deal: section.value_table("deal_defaults"),
        },
        unknown_custom_field: section.word("unknown_custom_field"),
        coercion: section.word("coercion"),
        invalid_value: section.word("invalid_value"),
        anonymous_identify: section.word("anonymous_identify"),
        null_traits: section.word("null_traits"),
    }
}

fn overrides(section: &mut Section<'_>, key: &'static str) -> BTreeMap<String, String> {
    let pairs = section.string_table(key);
    for (path, field) in &pairs {
        if path.is_empty() || field.is_empty() {
            section.problem(key, "neither a trait nor a field has an empty name");
        }
    }
    pairs
}

fn account_name(text: &str) -> Result<String, &'static str> {
    let mut bytes = text.bytes();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = bytes.next().is_some_and(plain);
    let rest = bytes.all(|byte| plain(byte) || byte == b'_' || byte == b'-');
    if first && rest && text.len() <= 64 {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 of a-z, 0-9, `_` and `-`, starting with a letter or a digit")
    }
}
