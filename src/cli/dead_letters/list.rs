//! `dead-letters list`: a summary, or a line for each letter.

use std::io;
use std::ops::ControlFlow;

use jiff::Timestamp;

use crate::cli::config_file::ConfigFile;
use crate::cli::letters::arguments::FilterArguments;
use crate::cli::letters::command::{LetterCommand, failure, nothing_matched};
use crate::cli::letters::told::{self, when};
use crate::cli::terminal::files;
use crate::cli::terminal::output::{Failure, LineWriter, print};
use crate::cli::terminal::table::{printable, table};
use crate::config::SecretsNeeded;
use crate::dead_letter::{LetterGroup, LetterGroups, ListedLetter};
use crate::delivery::UNROUTED;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// A line for each letter, also without a filter
    #[arg(long)]
    all: bool,
    /// For programs: one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArguments,
}

pub(super) async fn run(arguments: ListArguments) -> Result<(), Failure> {
    let ListArguments { config, all, json, filter } = arguments;
    let command = LetterCommand::open(config.load(SecretsNeeded::Broker)?)?;
    let filter = filter.into_filter();
    if filter.is_empty() && !all {
        return summary(&command, json).await;
    }
    let filtered = !filter.is_empty();
    let selection = filter.selection(Timestamp::now());
    let (mut out, mut matched) = (LineWriter::default(), 0);
    let bar = files::bar();
    let looked = command
        .queue
        .look(&command.who, &command.stop, |letter, _| {
            if !selection.holds(letter) {
                return Ok(ControlFlow::Continue(()));
            }
            if matched == 0 && !json {
                let _still_open = out.line(HEADINGS)?;
            }
            matched += 1;
            let written = out.line(&if json { serde_json::to_string(letter)? } else { row(letter) })?;
            Ok(if matched >= selection.limit() { ControlFlow::Break(()) } else { written })
        })
        .await
        .map_err(failure)?;
    bar.finish_and_clear();
    out.flush().map_err(Failure::failed)?;
    if matched == 0 && filtered {
        return Err(nothing_matched(&command.queue.name()));
    }
    if matched >= selection.limit() || out.is_closed() { Ok(()) } else { command.whole(looked) }
}

/// Fixed widths: a letter is printed when it is read, and there may be very many.
const HEADINGS: &str = "FAILED             ACCOUNT          REASON                 TYPE      ID                                    REPLAYS  WHAT";

fn row(letter: &ListedLetter) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let failed =
        letter.failed_at.map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string());
    let what = letter.problems.first().map(told::short_problem).unwrap_or_default();
    let line = format!(
        "{failed:<17}  {:<15}  {:<21}  {:<8}  {:<36}  {:>7}  {what}",
        letter.account.as_deref().unwrap_or(UNROUTED),
        or_dash(&letter.reason),
        or_dash(&letter.event_type),
        letter.id,
        letter.replays,
    );
    printable(line.trim_end())
}

async fn summary(command: &LetterCommand, json: bool) -> Result<(), Failure> {
    let mut groups = LetterGroups::default();
    let bar = files::bar();
    let mut read = 0_u64;
    let looked = command
        .queue
        .look(&command.who, &command.stop, |letter, _| {
            groups.add(letter);
            read += 1;
            if read.is_multiple_of(1000) {
                bar.set_message(format!("{} read", told::letters(read)));
                bar.tick();
            }
            Ok::<_, io::Error>(ControlFlow::Continue(()))
        })
        .await
        .map_err(failure)?;
    bar.finish_and_clear();
    let groups = groups.into_sorted();
    if json {
        let mut lines = String::new();
        for group in &groups {
            lines.push_str(&serde_json::to_string(group).map_err(Failure::failed)?);
            lines.push('\n');
        }
        print(lines)?;
    } else {
        print(told_summary(&groups, &command.queue.name(), looked.seen, Timestamp::now()))?;
    }
    command.whole(looked)
}

fn told_summary(groups: &[LetterGroup], queue: &str, seen: u64, now: Timestamp) -> String {
    let Some(largest) = groups.first() else { return format!("No letters in {queue}.\n") };
    let oldest = groups.iter().filter_map(|group| group.first).min();
    let mut text = format!("{} in {queue}", told::letters(seen));
    if oldest.is_some() {
        text.push_str(", the oldest from ");
        text.push_str(&when(oldest, now));
    }
    text.push_str("\n\n");
    text.push_str(&table(
        &["ACCOUNT", "REASON", "LETTERS", "FIRST", "LAST", "WHAT"],
        groups.iter().map(|group| group_row(group, now)),
    ));
    let mut filters = format!("--account {}", largest.account.as_deref().unwrap_or(UNROUTED));
    if let Some(reason) = &largest.reason {
        filters.push_str(" --reason ");
        filters.push_str(reason);
    }
    let filters = printable(&filters);
    text.extend(["\nLook closer:  freshet dead-letters list ", &filters, " --limit 20"]);
    text.extend(["\nTry again:    freshet dead-letters replay ", &filters, " --dry-run\n"]);
    text
}

fn group_row(group: &LetterGroup, now: Timestamp) -> Vec<String> {
    let (account, reason) = if group.others {
        ("(others)", "-")
    } else {
        (group.account.as_deref().unwrap_or(UNROUTED), group.reason.as_deref().unwrap_or("-"))
    };
    vec![
        account.to_owned(),
        reason.to_owned(),
        told::count(group.letters),
        when(group.first, now),
        when(group.last, now),
        group.example.as_ref().map(told::short_problem).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Problem;

    #[test]
    fn a_summary_says_what_to_do_next() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let example = Problem {
            trait_path: Some("cfPlan".into()),
            problem: "no such choice".into(),
            expected: Some("one of gold, silver".into()),
            got: Some("a string of 6 characters".into()),
            ..Problem::default()
        };
        let groups = [
            LetterGroup {
                account: Some("acme".into()),
                reason: Some("invalid_custom_field".into()),
                trait_path: Some("cfPlan".into()),
                letters: 4213,
                first: Some("2026-03-01T09:12:00Z".parse().unwrap()),
                last: Some("2026-03-10T11:58:00Z".parse().unwrap()),
                example: Some(example),
                trait_cut: false,
                others: false,
            },
            LetterGroup { letters: 13, ..LetterGroup::default() },
        ];
        insta::assert_snapshot!(told_summary(&groups, "segment.events.dead", 4226, now));
        assert_eq!(told_summary(&[], "q.dead", 0, now), "No letters in q.dead.\n");
    }
}
