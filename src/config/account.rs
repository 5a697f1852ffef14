//! `[[accounts]]`: one Freshsales account each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::claims::AccountClaims;
use super::reading::reader::{Environment, Section};
use super::values::base_url::{BaseUrl, PlainHttp};
use super::values::choices::{DealIdentity, Links, Tags};
use super::values::secret::{SecretError, SecretSource};
use crate::delivery::AccountName;
use crate::mapping::MappingRules;
use crate::segment::EventType;
use crate::tls::{Authorities, TlsFileError};
use secrecy::SecretString;

/// `[[accounts]]`
#[derive(Debug, Clone, PartialEq)]
pub struct AccountConfig {
    /// Names the account's lane and queue; a label of metrics.
    pub name: AccountName,
    /// Of its API.
    pub url: BaseUrl,
    /// For everything but activities.
    pub api_key: SecretSource,
    /// For activities.
    pub app_token: Option<SecretSource>,
    /// Certificates of authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How much of the account's limits may be used.
    pub limits: AccountLimits,
    /// Whose events are routed to it.
    pub sources: SegmentSources,
    /// The types of events that it takes.
    pub events: Vec<EventType>,
    /// How traits become fields.
    pub mapping: MappingRules,
    /// Which deal an event's deal is.
    pub deal_identity: DealIdentity,
    /// How contacts are linked to their companies.
    pub links: Links,
    /// What becomes of the tags that a record has already.
    pub tags: Tags,
}

/// An account's secrets, as they were when they were read.
#[derive(Debug, Clone)]
pub struct AccountSecrets {
    /// For everything but activities.
    pub api_key: SecretString,
    /// For activities.
    pub app_token: Option<SecretString>,
}

/// A secret of an account that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {error}")]
pub struct AccountSecretError {
    /// `api_key` or `app_token`.
    pub key: &'static str,
    /// Why.
    pub error: SecretError,
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
        let plain_http = match section.flag("insecure_http") {
            Some(true) => PlainHttp::Anywhere,
            Some(false) | None => PlainHttp::LoopbackOnly,
        };
        let url = required(&mut section, "url", |section| {
            section.parsed("url", |text| BaseUrl::parse(text, plain_http))
        });
        let api_key = required(&mut section, "api_key", |section| token(section, "api_key", secrets));
        let app_token = token(&mut section, "app_token", secrets);
        let ca_file = section.path("ca_file");
        if let (Some(path), Some(_)) = (&ca_file, secrets)
            && let Err(error) = Authorities::read(path)
        {
            section.problem("ca_file", error.to_string());
        }
        let limits = limits(&mut section);
        let sources = SegmentSources {
            write_keys: section.strings("write_keys").unwrap_or_default(),
            project_ids: section.strings("project_ids").unwrap_or_default(),
        };
        let events = events(&mut section);
        let mapping = mapping(&mut section);
        let deal_identity = section.word("deal_identity");
        let links = section.word("links");
        let tags = section.word("tags");
        section.finish();
        let claims = AccountClaims {
            name: name.clone(),
            write_keys: sources.write_keys.clone(),
            project_ids: sources.project_ids.clone(),
        };
        let (Some(name), Some(url), Some(api_key)) = (name, url, api_key) else { return (claims, None) };
        let account = Self {
            name: name.into(),
            url,
            api_key,
            app_token,
            ca_file,
            limits,
            sources,
            events,
            mapping,
            deal_identity,
            links,
            tags,
        };
        (claims, Some(account))
    }

    /// The authorities of `ca_file` as they are now.
    pub fn authorities(&self) -> Result<Option<Authorities>, TlsFileError> {
        self.ca_file.as_deref().map(Authorities::read).transpose()
    }

    /// Whether a secret may be another one when it is read again.
    pub fn keeps_secrets_in_files(&self) -> bool {
        [Some(&self.api_key), self.app_token.as_ref()]
            .into_iter()
            .flatten()
            .any(|source| matches!(source, SecretSource::File(_)))
    }

    /// The secrets as they are now.
    pub fn read_secrets(&self, environment: Environment<'_>) -> Result<AccountSecrets, AccountSecretError> {
        let read = |key, source: &SecretSource| {
            source.read_token(environment).map_err(|error| AccountSecretError { key, error })
        };
        Ok(AccountSecrets {
            api_key: read("api_key", &self.api_key)?,
            app_token: self.app_token.as_ref().map(|source| read("app_token", source)).transpose()?,
        })
    }
}

/// Reports a key that is missing; `read` reports one that is wrong.
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

/// A secret that is sent as a header, or in its place.
fn token(
    section: &mut Section<'_>,
    key: &'static str,
    secrets: Option<Environment<'_>>,
) -> Option<SecretSource> {
    let source = section.secret(key)?;
    if let Some(environment) = secrets
        && let Err(error) = source.read_token(environment)
    {
        section.problem(key, error.to_string());
    }
    Some(source)
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
        fields: overrides(section, "fields"),
        company_fields: overrides(section, "company_fields"),
        deal_fields: overrides(section, "deal_fields"),
        defaults: section.value_table("defaults"),
        company_defaults: section.value_table("company_defaults"),
        deal_defaults: section.value_table("deal_defaults"),
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
