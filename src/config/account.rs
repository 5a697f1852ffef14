//! `[[accounts]]`

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::base_url::BaseUrl;
use super::reader::{Environment, Section};
use super::secret;
use crate::delivery::AccountName;
use crate::mapping::{
    AnonymousIdentify, Coercion, InvalidValue, MappingRules, NullTraits, UnknownCustomField,
};
use crate::segment::EventType;

/// One Freshsales account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Routing key, metric label, lane.
    pub name: AccountName,
    /// Where its API is.
    pub url: BaseUrl,
    /// For everything but activities.
    pub api_key: SecretString,
    /// For activities.
    pub app_token: Option<SecretString>,
    /// Calls an hour this program may make: the plan's, times `quota_share`.
    pub requests_per_hour: f64,
    /// The part of what is left of the account's quota that may be spent.
    pub quota_share: f64,
    /// Calls a minute to the tracking endpoints.
    pub tracking_requests_per_minute: f64,
    /// Bulk jobs of this program that may run at once.
    pub bulk_jobs: usize,
    /// Segment sources that belong to it.
    pub write_keys: Vec<String>,
    /// Segment projects that belong to it.
    pub project_ids: Vec<String>,
    /// Which types it takes.
    pub events: Vec<EventType>,
    /// How traits become fields.
    pub mapping: MappingRules,
    /// Which deal an event's deal is.
    pub deal_identity: DealIdentity,
    /// What becomes of the tags that a record has.
    pub tags: Tags,
}

/// What becomes of the tags that a record has already when an event brings others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tags {
    /// The event's take their place.
    #[default]
    Replace,
    /// They stay, and the event's are added.
    Append,
}

/// Which deal of the account an event's deal is. Freshsales' deals may share a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DealIdentity {
    /// The one of that name among the contact's own deals, else a new one.
    #[default]
    Contact,
    /// The account's deal of that name.
    Name,
}

/// Freshsales' own limits by plan, in calls an hour.
const PLANS: &[(&str, u32)] = &[("free", 1000), ("growth", 1000), ("pro", 2000), ("enterprise", 5000)];
const DEFAULT_PLAN: u32 = 1000;
const DEFAULT_SHARE: f64 = 0.9;
const DEFAULT_TRACKING_PER_MINUTE: u32 = 400;
/// Freshsales runs about ten jobs of an account at once, those of all its programs together.
const MOST_BULK_JOBS: u32 = 10;
const DEFAULT_BULK_JOBS: u32 = 6;

/// Reads one account; `None` if its problems were noted.
pub(super) fn read(mut section: Section<'_>, environment: Environment<'_>) -> Option<Account> {
    let name = required(&mut section, "name", |section| section.parsed("name", account_name));
    let insecure = section.flag("insecure_http").unwrap_or(false);
    let url =
        required(&mut section, "url", |section| section.parsed("url", |text| BaseUrl::parse(text, insecure)));
    let api_key = required(&mut section, "api_key", |section| read_secret(section, "api_key", environment));
    let app_token = read_secret(&mut section, "app_token", environment);
    let hourly = hourly(&mut section);
    let share = section.number("quota_share", 0.01..=1.0).unwrap_or(DEFAULT_SHARE);
    let tracking =
        section.whole("tracking_requests_per_minute", 1..=100_000).unwrap_or(DEFAULT_TRACKING_PER_MINUTE);
    let bulk_jobs = section.whole("bulk_jobs", 1..=MOST_BULK_JOBS).unwrap_or(DEFAULT_BULK_JOBS);
    let write_keys = section.strings("write_keys").unwrap_or_default();
    let project_ids = section.strings("project_ids").unwrap_or_default();
    let events = events(&mut section);
    let mapping = mapping(&mut section);
    let deal_identity = section.parsed("deal_identity", |text| match text {
        "contact" => Ok(DealIdentity::Contact),
        "name" => Ok(DealIdentity::Name),
        _ => Err("expected \"contact\" or \"name\""),
    });
    let tags = section.parsed("tags", |text| match text {
        "replace" => Ok(Tags::Replace),
        "append" => Ok(Tags::Append),
        _ => Err("expected \"replace\" or \"append\""),
    });
    section.finish();
    Some(Account {
        name: name?.into(),
        url: url?,
        api_key: api_key?,
        app_token,
        requests_per_hour: f64::from(hourly) * share,
        quota_share: share,
        tracking_requests_per_minute: f64::from(tracking),
        bulk_jobs: bulk_jobs as usize,
        write_keys,
        project_ids,
        events,
        mapping,
        deal_identity: deal_identity.unwrap_or_default(),
        tags: tags.unwrap_or_default(),
    })
}

/// A key that must be there. A key that is there but wrong was told already.
fn required<T>(
    section: &mut Section<'_>,
    key: &'static str,
    read: impl FnOnce(&mut Section<'_>) -> Option<T>,
) -> Option<T> {
    if !section.has(key) {
        section.problem(key, "missing; every account needs it");
    }
    read(section)
}

fn read_secret(
    section: &mut Section<'_>,
    key: &'static str,
    environment: Environment<'_>,
) -> Option<SecretString> {
    let value = section.raw(key)?;
    match secret::resolve(&value, environment) {
        Ok(secret) => Some(secret),
        Err(message) => {
            section.problem(key, message);
            None
        }
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
    for word in words {
        match EventType::from_word(&word) {
            Some(event_type) => types.push(event_type),
            None => section.problem("events", format!("\"{word}\": expected identify, track or page")),
        }
    }
    types
}

fn mapping(section: &mut Section<'_>) -> MappingRules {
    let unknown_custom_field = section.parsed("unknown_custom_field", |text| match text {
        "dead_letter" => Ok(UnknownCustomField::DeadLetter),
        "ignore" => Ok(UnknownCustomField::Ignore),
        _ => Err("expected \"dead_letter\" or \"ignore\""),
    });
    let coercion = section.parsed("coercion", |text| match text {
        "lossless" => Ok(Coercion::Lossless),
        "strict" => Ok(Coercion::Strict),
        _ => Err("expected \"lossless\" or \"strict\""),
    });
    let invalid_value = section.parsed("invalid_value", |text| match text {
        "dead_letter" => Ok(InvalidValue::DeadLetter),
        "omit" => Ok(InvalidValue::Omit),
        _ => Err("expected \"dead_letter\" or \"omit\""),
    });
    let anonymous_identify = section.parsed("anonymous_identify", |text| match text {
        "dead_letter" => Ok(AnonymousIdentify::DeadLetter),
        "by_email" => Ok(AnonymousIdentify::ByEmail),
        _ => Err("expected \"dead_letter\" or \"by_email\""),
    });
    let null_traits = section.parsed("null_traits", |text| match text {
        "ignore" => Ok(NullTraits::Ignore),
        "clear" => Ok(NullTraits::Clear),
        _ => Err("expected \"ignore\" or \"clear\""),
    });
    MappingRules {
        fields: overrides(section, "fields"),
        company_fields: overrides(section, "company_fields"),
        deal_fields: overrides(section, "deal_fields"),
        defaults: section.value_table("defaults"),
        company_defaults: section.value_table("company_defaults"),
        deal_defaults: section.value_table("deal_defaults"),
        unknown_custom_field: unknown_custom_field.unwrap_or_default(),
        coercion: coercion.unwrap_or_default(),
        invalid_value: invalid_value.unwrap_or_default(),
        anonymous_identify: anonymous_identify.unwrap_or_default(),
        null_traits: null_traits.unwrap_or_default(),
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
