//! The pages under `docs/` say what the code says, where that can be checked cheaply.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, a panic is the verdict"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use freshet::config;
use freshet::outcome::{DeadLetterReason, SkipReason};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file with this ending under a folder of the repository, as paths from its root.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// What stands between backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// What the rows of a page's tables begin with, between backticks.
fn rows(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[track_caller]
fn expect<'a>(told: &BTreeSet<&str>, page: &str, words: impl IntoIterator<Item = &'a str>) {
    let missing: Vec<_> = words.into_iter().filter(|word| !told.contains(word)).collect();
    assert!(missing.is_empty(), "{page} does not tell of: {}", missing.join(", "));
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
    let error = config::parse(text, Path::new("x"), &nothing).unwrap_err().to_string();
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
    for file in files("src", "rs") {
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
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = files("src", "rs")
        .into_iter()
        .filter(|file| !file.contains("tests") && !read(file).starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "without a head: {silent:?}");
}

#[test]
fn rooms_know_only_what_the_architecture_lets_them() {
    let page = read("docs/ARCHITECTURE.md");
    let rooms: Vec<(&str, BTreeSet<&str>)> = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches('|').count() == 4)
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            (cells[1].trim().trim_matches('`'), quoted(cells[3]))
        })
        .collect();
    let names: BTreeSet<&str> = rooms.iter().map(|(name, _)| *name).collect();
    for file in files("src", "rs") {
        let place = file.strip_prefix("src/").unwrap();
        let room = place.split(['/', '.']).next().unwrap();
        if ["main", "lib", "cli"].contains(&room) {
            continue;
        }
        let (_, may) =
            rooms.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("no room {room}"));
        let source = read(&file);
        // Tests may put rooms together.
        let source = source.split("#[cfg(test)]").next().unwrap();
        for used in source.split("crate::").skip(1) {
            let used = used
                .trim_start_matches('{')
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap();
            let known = used == room || may.contains(used) || !names.contains(used);
            assert!(known || place.contains("tests"), "{file} knows {used}, which {room} may not");
        }
    }
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
