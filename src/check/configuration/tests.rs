use std::path::Path;

use super::*;
use crate::check::CheckStatus;
use crate::config::{SecretsNeeded, parse};

fn config(accounts: &str) -> Config {
    let text = format!("[broker]\nqueue = \"q\"\n{accounts}");
    parse(&text, Path::new("freshet.toml"), &|_| None, SecretsNeeded::None).unwrap()
}

fn account(name: &str, url: &str, more: &str) -> String {
    format!("[[accounts]]\nname = \"{name}\"\nurl = \"{url}\"\napi_key = {{ env = \"KEY\" }}\n{more}\n")
}

/// The statuses and messages of one check.
fn found(config: &Config, facts: &ConfigurationFacts, check: &str) -> Vec<(CheckStatus, String)> {
    let accounts: Vec<&AccountConfig> = config.accounts.iter().collect();
    let all = configuration(config, &accounts, facts);
    for finding in &all {
        assert_eq!(finding.remedy.is_none(), finding.status == CheckStatus::Ok, "{finding:?}");
    }
    all.into_iter()
        .filter(|finding| finding.check == check)
        .map(|finding| (finding.status, finding.message))
        .collect()
}

fn one(accounts: &str, check: &str) -> (CheckStatus, String) {
    let found = found(&config(accounts), &ConfigurationFacts::default(), check);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    one.clone()
}

#[test]
fn addresses_are_told_as_they_are_taken_and_those_that_are_doubtful() {
    for (accounts, status, part) in [
        (account("a", "https://a.myfreshworks.com/crm/sales", ""), CheckStatus::Ok, "as written"),
        (
            account("a", "acme", ""),
            CheckStatus::Ok,
            "\"acme\" is taken as https://acme.myfreshworks.com/crm/sales",
        ),
        (account("a", "https://crm.acme.com", ""), CheckStatus::Warning, "has no /crm/sales"),
        (account("a", "http://127.0.0.1:8090", ""), CheckStatus::Ok, "as written"),
        (account("a", "http://[::1]:8090", ""), CheckStatus::Ok, "as written"),
        (account("a", "http://sandbox:8090", "insecure_http = true"), CheckStatus::Warning, "unencrypted"),
    ] {
        let (found, message) = one(&accounts, "urls");
        assert!(found == status && message.contains(part), "{accounts}: {found:?} {message}");
    }
    let shared = account("a", "acme", "write_keys = [\"1\"]")
        + &account("b", "https://acme.myfreshworks.com", "write_keys = [\"2\"]");
    let found = found(&config(&shared), &ConfigurationFacts::default(), "urls");
    assert!(found[0].1.contains("account a has the same url as b"), "{found:?}");
    assert_eq!(found[0].0, CheckStatus::Warning);
}

#[test]
fn accounts_that_no_event_finds_are_a_warning() {
    let alone = account("a", "acme", "");
    assert_eq!(one(&alone, "routing").0, CheckStatus::Ok);
    let two = alone + &account("b", "globex", "project_ids = [\"p\"]");
    let (status, message) = one(&two, "routing");
    assert!(status == CheckStatus::Warning && message.ends_with(": a"), "{message}");
}

#[test]
fn tracks_without_a_token_are_a_warning() {
    let token = "app_token = { env = \"T\" }";
    for (more, status) in [
        ("", CheckStatus::Warning),
        (token, CheckStatus::Ok),
        ("events = [\"identify\"]", CheckStatus::Ok),
        ("events = [\"page\"]", CheckStatus::Warning),
    ] {
        assert_eq!(one(&account("a", "acme", more), "app_tokens").0, status, "{more}");
    }
}

#[test]
fn variables_that_override_and_those_that_only_seem_to_are_told() {
    let config = config(&account("a", "acme", ""));
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let facts = |set: &[&str], there: &[&str]| ConfigurationFacts {
        known_variables: own(&["FRESHET_BROKER_URL", "FRESHET_LOG_LEVEL", "RUST_LOG"]),
        set_variables: own(set),
        own_variables: own(there),
        ..ConfigurationFacts::default()
    };
    for (set, there, expected) in [
        (&[][..], &["FRESHET_CONFIG"][..], &[(CheckStatus::Ok, "overrides no key of the file")][..]),
        (
            &["FRESHET_BROKER_URL", "RUST_LOG"],
            &["FRESHET_BROKER_URL"],
            &[(CheckStatus::Ok, "FRESHET_BROKER_URL overrides broker.url, RUST_LOG overrides log.level")],
        ),
        (
            &[],
            &["FRESHET_BROKER_URI"],
            &[(CheckStatus::Warning, "FRESHET_BROKER_URI is set and overrides nothing")],
        ),
    ] {
        let found = found(&config, &facts(set, there), "environment");
        let found: Vec<_> = found.iter().map(|(status, message)| (*status, message.as_str())).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_secret_that_everyone_may_read_is_a_warning() {
    let config = config(&account("a", "acme", ""));
    for (mode, status) in [
        (0o100_600, CheckStatus::Ok),
        (0o100_640, CheckStatus::Ok),
        (0o100_644, CheckStatus::Warning),
        (0o100_604, CheckStatus::Warning),
    ] {
        let file = SecretFile { key: "account a: api_key".to_owned(), path: "/run/key".into(), mode };
        let facts = ConfigurationFacts { secret_files: vec![file], ..ConfigurationFacts::default() };
        assert_eq!(found(&config, &facts, "file_modes")[0].0, status, "{mode:o}");
    }
}

#[test]
fn secrets_are_read_missing_or_not_looked_at() {
    let config = config(&account("a", "acme", ""));
    let missing = vec![("account a: api_key".to_owned(), "not set".to_owned())];
    for (secrets, status) in [
        (SecretsState::NotRead, CheckStatus::Skipped),
        (SecretsState::Read { found: 2, missing: Vec::new() }, CheckStatus::Ok),
        (SecretsState::Read { found: 1, missing }, CheckStatus::Failed),
    ] {
        let facts = ConfigurationFacts { secrets, ..ConfigurationFacts::default() };
        let found = found(&config, &facts, "secrets");
        assert_eq!(found.iter().map(|one| one.0).collect::<Vec<_>>(), [status]);
    }
}

#[test]
fn a_broker_that_nobody_named_is_noted() {
    let text = account("a", "acme", "");
    let parsed = |text: &str| parse(text, Path::new("freshet.toml"), &|_| None, SecretsNeeded::None).unwrap();
    let named = format!("[broker]\nurl = \"amqp://rabbitmq.example.com\"\n{text}");
    let by_environment = ConfigurationFacts {
        set_variables: vec!["FRESHET_BROKER_URL".to_owned()],
        ..ConfigurationFacts::default()
    };
    let nothing = ConfigurationFacts::default();
    for (text, facts, noted) in
        [(&text, &nothing, true), (&named, &nothing, false), (&text, &by_environment, false)]
    {
        assert_eq!(found(&parsed(text), facts, "broker_url").len(), usize::from(noted), "{text}");
    }
}
