//! An account's settings as its lane applies them, for people: the keys of the configuration, without secrets and, of what
//! may be long, only how much there is.

use serde::Serialize;

use crate::config::AccountConfig;

/// An account's settings. Keys as in the configuration; of lists and tables that name keys and fields, the length.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each is described at the key of the same name in docs/CONFIGURATION.md")]
pub struct AppliedSettings {
    pub url: Box<str>,
    /// The plan's, times `quota_share`.
    pub requests_per_hour: f64,
    pub quota_share: f64,
    pub tracking_requests_per_minute: f64,
    pub bulk_jobs: usize,
    /// Whether there is one.
    pub app_token: bool,
    /// Whether there is one.
    pub ca_file: bool,
    pub write_keys: usize,
    pub project_ids: usize,
    pub events: Box<[&'static str]>,
    pub unknown_custom_field: &'static str,
    pub coercion: &'static str,
    pub invalid_value: &'static str,
    pub anonymous_identify: &'static str,
    pub null_traits: &'static str,
    pub tags: &'static str,
    pub deal_identity: &'static str,
    pub links: &'static str,
    pub fields: usize,
    pub company_fields: usize,
    pub deal_fields: usize,
    pub defaults: usize,
    pub company_defaults: usize,
    pub deal_defaults: usize,
}

impl AppliedSettings {
    pub(in crate::lane) fn of(account: &AccountConfig) -> Self {
        let AccountConfig { access, limits, mapping, sources, records, .. } = account;
        Self {
            url: access.url.as_str().into(),
            // As it is written; limits hold the share of it.
            requests_per_hour: (limits.requests_per_hour / limits.quota_share).round(),
            quota_share: limits.quota_share,
            tracking_requests_per_minute: limits.tracking_requests_per_minute,
            bulk_jobs: limits.bulk_jobs,
            app_token: access.app_token.is_some(),
            ca_file: access.ca_file.is_some(),
            write_keys: sources.write_keys.len(),
            project_ids: sources.project_ids.len(),
            events: account.events.iter().map(|event| event.as_str()).collect(),
            unknown_custom_field: mapping.unknown_custom_field.into(),
            coercion: mapping.coercion.into(),
            invalid_value: mapping.invalid_value.into(),
            anonymous_identify: mapping.anonymous_identify.into(),
            null_traits: mapping.null_traits.into(),
            tags: records.tags.into(),
            deal_identity: records.deal_identity.into(),
            links: records.links.into(),
            fields: mapping.fields.contact.len(),
            company_fields: mapping.fields.sales_account.len(),
            deal_fields: mapping.fields.deal.len(),
            defaults: mapping.defaults.contact.len(),
            company_defaults: mapping.defaults.sales_account.len(),
            deal_defaults: mapping.defaults.deal.len(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, SecretsNeeded};

    /// Of an account with something in most places.
    pub(crate) fn applied() -> AppliedSettings {
        let text = r#"
            [broker]
            queue = "events"
            [[accounts]]
            name = "acme"
            url = "acme"
            api_key = { env = "NAME_OF_A_SECRET" }
            write_keys = ["wk_one", "wk_two"]
            plan = "pro"
            quota_share = 0.75
            events = ["identify", "page"]
            invalid_value = "omit"
            [accounts.fields]
            seats = "cf_seats"
        "#;
        let config =
            config::parse(text, Path::new("freshet.toml"), &|_: &str| None, SecretsNeeded::None).unwrap();
        AppliedSettings::of(&config.accounts[0])
    }

    #[test]
    fn settings_are_told_by_their_keys_and_of_keys_and_secrets_only_how_many() {
        let told = serde_json::to_string_pretty(&applied()).unwrap();
        insta::assert_snapshot!(told, @r#"
        {
          "url": "https://acme.myfreshworks.com/crm/sales",
          "requests_per_hour": 2000.0,
          "quota_share": 0.75,
          "tracking_requests_per_minute": 400.0,
          "bulk_jobs": 6,
          "app_token": false,
          "ca_file": false,
          "write_keys": 2,
          "project_ids": 0,
          "events": [
            "identify",
            "page"
          ],
          "unknown_custom_field": "dead_letter",
          "coercion": "lossless",
          "invalid_value": "omit",
          "anonymous_identify": "dead_letter",
          "null_traits": "ignore",
          "tags": "replace",
          "deal_identity": "contact",
          "links": "bulk",
          "fields": 1,
          "company_fields": 0,
          "deal_fields": 0,
          "defaults": 0,
          "company_defaults": 0,
          "deal_defaults": 0
        }
        "#);
    }
}
