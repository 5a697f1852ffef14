//! The pages with a form: signing in, and the question before letters are sent back.

use askama::Template;
use jiff::Timestamp;

use super::frame::Frame;
use crate::dead_letter::{LetterFilter, LetterGroup};
use crate::delivery::UNROUTED;
use crate::outcome::DeadLetterReason;
use crate::status::letters::{LettersState, remedy};
use crate::status::view::words::TimeShown;
use crate::words::counted;

#[derive(Template)]
#[template(path = "status/templates/login.html")]
struct LoginPage<'a> {
    frame: Frame,
    error: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "status/templates/replay.html")]
struct ReplayPage<'a> {
    frame: Frame,
    question: String,
    account: &'a str,
    reason: &'a str,
    remedy: &'static str,
    read: Option<TimeShown>,
    /// Each with what is shown of it.
    traits: Vec<(&'a str, String)>,
}

/// `error`: why nobody was signed in.
pub(in crate::status) fn login(
    replica: &str,
    now: Timestamp,
    error: Option<&str>,
) -> Result<String, askama::Error> {
    LoginPage { frame: Frame::new(replica, now, "login", "api/status").still(), error }.render()
}

/// Asks whether the letters of an account and a reason are meant.
pub(in crate::status) fn confirm_replay(
    replica: &str,
    now: Timestamp,
    filter: &LetterFilter,
    state: &LettersState,
) -> Result<String, askama::Error> {
    let account = filter.account.as_deref().unwrap_or_default();
    let reason = filter.reason.as_deref().unwrap_or_default();
    let groups = state.view.as_deref().map(|view| view.groups.as_slice()).unwrap_or_default();
    let same = |group: &&LetterGroup| {
        let same_account = account.is_empty() || group.account.as_deref().unwrap_or(UNROUTED) == account;
        let same_reason = reason.is_empty() || group.reason.as_deref() == Some(reason);
        same_account && same_reason && !group.others
    };
    let groups: Vec<&LetterGroup> = groups.iter().filter(same).collect();
    let letters: u64 = groups.iter().map(|group| group.letters).sum();
    let traits = groups.iter().filter_map(|group| {
        // The filter means whole names: the beginning of one would match nothing.
        let name = group.trait_path.as_deref().filter(|_| !group.trait_cut)?;
        Some((name, format!("{name} ({})", counted(group.letters, "letter", "letters"))))
    });
    let mut question = match letters {
        0 => "Send letters".to_owned(),
        letters => format!("Send {}", counted(letters, "letter", "letters")),
    };
    if !account.is_empty() {
        question.extend([" of ", account]);
    }
    question.push_str(" back");
    if !reason.is_empty() {
        question.extend([" (", reason, ")"]);
    }
    question.push('?');
    let known = DeadLetterReason::ALL.iter().find(|known| known.as_str() == reason);
    ReplayPage {
        frame: Frame::new(replica, now, "replay", "api/dead-letters").below(1).still(),
        question,
        account,
        reason,
        remedy: known.map_or("", |reason| remedy(*reason)),
        read: state.view.as_deref().map(|view| TimeShown::relative(view.read_at, now)),
        traits: traits.collect(),
    }
    .render()
}
