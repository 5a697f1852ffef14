//! `explain --dead-letters`: what would become of the letters in the dead-letter queue if they were sent back now.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::showing::Showing;
use super::text::{self, Place};
use crate::cli::config_file::ConfigFile;
use crate::cli::letters::command::{LetterCommand, failure, nothing_matched};
use crate::cli::letters::explaining::{ExplainedEvent, LetterExplainer};
use crate::cli::letters::told;
use crate::cli::terminal::output::{Failure, print, print_error, print_styled};
use crate::config::SecretsNeeded;
use crate::dead_letter::{LetterFilter, ListedLetter};
use crate::explain::{Explanation, Summary};

pub(super) async fn run(
    config: &ConfigFile,
    filter: LetterFilter,
    fields: Option<&Path>,
    showing: &Showing,
) -> Result<(), Failure> {
    let command = LetterCommand::open(config.load(SecretsNeeded::Broker)?)?;
    let mut explainer = LetterExplainer::for_letters(&command, &filter, fields).await?;
    let selection = filter.selection(Timestamp::now());
    let (mut summary, mut place, mut matched) = (Summary::default(), 0, 0);
    let mut unread: BTreeMap<String, u64> = BTreeMap::new();
    let see = |listed: &ListedLetter, letter: &_| {
        place += 1;
        if !selection.holds(listed) {
            return Ok(ControlFlow::Continue(()));
        }
        matched += 1;
        for ExplainedEvent { mut explanation, unread: why, .. } in explainer.events(letter) {
            if let Some(why) = why {
                *unread.entry(why).or_default() += 1;
                continue;
            }
            explanation.line = place;
            summary.add(&explanation);
            if showing.shows(&explanation) {
                let rate = explainer.requests_per_hour(&explanation);
                let shown = if showing.json {
                    as_json(&explanation, listed)
                } else {
                    as_text(explanation, listed, rate)
                };
                shown.map_err(|error| io::Error::other(told_failure(error)))?;
            }
        }
        let enough = matched >= selection.limit();
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    let looked = command.queue.look(&command.who, &command.stop, see).await.map_err(failure)?;
    if matched == 0 {
        return Err(nothing_matched(&command.queue.name()));
    }
    let ended = showing.end(&summary);
    if matched < selection.limit() {
        command.whole(looked)?;
    }
    for (why, events) in &unread {
        print_error(&format!("{} not explained: {why}", crate::cli::running::summary::events(*events)));
    }
    if unread.is_empty() { ended } else { Err(Failure::Logged) }
}

/// The explanation's keys, and the letter's.
fn as_json(explanation: &Explanation, listed: &ListedLetter) -> Result<(), Failure> {
    let mut object = serde_json::to_value(explanation).map_err(Failure::failed)?;
    if let Value::Object(keys) = &mut object {
        keys.insert("letter".to_owned(), json!(listed.id));
        keys.insert("letter_reason".to_owned(), json!(listed.reason));
    }
    print(format!("{object}\n"))
}

fn as_text(mut explanation: Explanation, listed: &ListedLetter, rate: Option<f64>) -> Result<(), Failure> {
    let reason = listed.reason.as_deref().unwrap_or("(neither Freshet nor RabbitMQ said why)");
    let when = told::when(listed.failed_at, Timestamp::now());
    let mut history = format!("dead-lettered {when}: {reason}");
    if explanation.message_id.as_deref() != Some(&*listed.id) {
        history.push_str(", id ");
        history.push_str(&listed.id);
    }
    let history = Some(history);
    if listed.account.is_some() {
        // Not a header, but the lane that it came from.
        explanation.routed_by = None;
    }
    print_styled(&text::event(&Place { word: "letter", history }, &explanation, rate))
}

fn told_failure(failure: Failure) -> String {
    match failure {
        Failure::Failed(why) | Failure::Usage(why) | Failure::Unreachable(why) => why,
        Failure::Logged => String::new(),
    }
}
