//! Tells the program which commit it is built from: `freshet --version`, `freshet_build_info`.

#![allow(clippy::disallowed_methods, reason = "cargo talks to a build script by its environment")]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=FRESHET_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    let revision = given().or_else(packaged).or_else(checked_out);
    let version = env!("CARGO_PKG_VERSION");
    let with_revision =
        revision.as_ref().map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"));
    // Not FRESHET_…: `cargo run` sets them for the program, too, and `freshet check` warns of those it does not know.
    println!("cargo::rustc-env=BUILD_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=BUILD_VERSION={with_revision}");
}

/// What whoever builds says: an image is built without the repository.
fn given() -> Option<String> {
    let revision = std::env::var("FRESHET_REVISION").ok()?;
    let revision = revision.trim();
    short(revision).or_else(|| (!revision.is_empty()).then(|| revision.to_owned()))
}

/// `cargo package` leaves the commit in the crate.
fn packaged() -> Option<String> {
    let info = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = info.split_once("\"sha1\"")?;
    short(rest.split('"').nth(1)?)
}

/// The repository's commit, for builds that are kept. Others would be built anew after each commit.
fn checked_out() -> Option<String> {
    if std::env::var("PROFILE").ok()? != "release" || !Path::new(".git").exists() {
        return None;
    }
    // It changes with each commit, check-out and merge.
    println!("cargo::rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    short(&git(&["rev-parse", "HEAD"])?)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.trim().to_owned())
}

fn short(commit: &str) -> Option<String> {
    let commit = commit.trim();
    let known = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    known.then(|| commit.chars().take(12).collect())
}
