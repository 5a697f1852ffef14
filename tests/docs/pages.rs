//! The pages under `docs/` say what the code says, where that can be checked cheaply.

use std::collections::BTreeSet;
use std::path::Path;

use freshet::config::{self, SecretsNeeded};
use freshet::outcome::{DeadLetterReason, SkipReason};

use crate::{files, read, root};

/// What stands between backticks.
pub fn quoted(text: &str) -> BTreeSet<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// What the rows of a page's tables begin with, between backticks.
fn rows(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[track_caller]
fn expect<'a>(found: &BTreeSet<&str>, page: &str, words: impl IntoIterator<Item = &'a str>) {
    let missing: Vec<_> = words.into_iter().filter(|word| !found.contains(word)).collect();
    assert!(missing.is_empty(), "{page} does not mention: {}", missing.join(", "));
}

#[track_caller]
fn expect_rows<'a>(page: &str, words: impl IntoIterator<Item = &'a str>) {
    expect(&rows(&read(page)), page, words);
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let source = read("src/metrics.rs");
    let declared: BTreeSet<&str> =
        source.split('"').skip(1).step_by(2).filter(|text| text.starts_with("freshet_")).collect();
    assert!(declared.len() > 10);
    expect_rows("docs/METRICS.md", declared.iter().copied());
    for page in ["docs/METRICS.md", "docs/RUNBOOK.md", "docs/LOGGING.md", "docs/MAPPING.md"] {
        let text = read(page);
        for name in quoted(&text).into_iter().filter(|word| word.starts_with("freshet_")) {
            let name = name.split(['{', ' ', '[']).next().unwrap();
            assert!(declared.contains(name), "{page}: there is no metric {name}");
        }
    }
}

/// The keys of a section, as the complaint about an unknown one lists them.
fn keys(text: &str) -> Vec<String> {
    let nothing = |_: &str| None;
    let error = config::parse(text, Path::new("x"), &nothing, SecretsNeeded::None).unwrap_err().to_string();
    let line = error.lines().find(|line| line.contains(".7: ")).expect("a complaint about the key 7");
    let (_, list) = line.split_once("known here: ").expect("no key is near 7");
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_setting_is_documented_with_its_variable() {
    for section in ["broker", "http", "delivery", "log"] {
        let keys = keys(&format!("[{section}]\n7 = 1\n"));
        expect_rows("docs/CONFIGURATION.md", keys.iter().map(String::as_str));
        let variables: Vec<_> =
            keys.iter().map(|key| format!("FRESHET_{section}_{key}").to_uppercase()).collect();
        expect(
            &quoted(&read("docs/CONFIGURATION.md")),
            "docs/CONFIGURATION.md",
            variables.iter().map(String::as_str),
        );
    }
    let keys = keys("[[accounts]]\n7 = 1\n");
    assert!(keys.len() > 10);
    expect_rows("docs/CONFIGURATION.md", keys.iter().map(String::as_str));
}

#[test]
fn every_reason_is_documented() {
    expect_rows("docs/RABBITMQ.md", DeadLetterReason::ALL.iter().map(|reason| reason.as_str()));
    expect_rows("docs/MAPPING.md", SkipReason::ALL.iter().map(|reason| reason.as_str()));
}

#[test]
fn every_log_message_is_documented() {
    let page = read("docs/LOGGING.md");
    let mut messages = 0;
    for file in files("src", "rs").into_iter().filter(|file| !file.contains("/tests")) {
        let source = read(&file);
        for macro_name in ["error!(", "warn!(", "info!(", "debug!(", "trace!("] {
            for call in source.split(&format!("tracing::{macro_name}")).skip(1) {
                let call = call.split(");").next().unwrap();
                let message = call.split('"').nth(1).expect("a message");
                let message = message.split('{').next().unwrap().trim();
                assert!(page.contains(&format!("`{message}")), "{file}: docs/LOGGING.md lacks {message:?}");
                messages += 1;
            }
        }
    }
    assert!(messages > 15, "{messages}");
}

#[test]
fn every_decision_has_a_number_of_its_own() {
    let mut numbers = BTreeSet::new();
    for path in files("docs/adr", "md").into_iter().filter(|path| !path.ends_with("README.md")) {
        let number = path.trim_start_matches("docs/adr/").split('-').next().unwrap().to_owned();
        let title = format!("# {}. ", number.trim_start_matches('0'));
        assert!(read(&path).starts_with(&title), "{path} does not begin with {title:?}");
        assert!(numbers.insert(number), "{path}: another decision has this number");
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let mut pages = files("docs", "md");
    pages.extend(
        [
            "README.md",
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "deploy/README.md",
            "examples/README.md",
        ]
        .map(str::to_owned),
    );
    for page in pages {
        let text = read(&page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let file = root().join(&page).parent().unwrap().join(path);
            assert!(file.exists(), "{page} links to {target}, which is not there");
        }
    }
}
