//! `dead-letters replay`: sends letters back.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use jiff::Timestamp;
use tokio::sync::watch;

use super::arguments::{FilterArguments, rate};
use super::letter_command::{LetterCommand, failure, nothing_matched};
use super::{estimate, told};
use crate::broker::{LetterOrder, LetterProgress, LetterState};
use crate::cli::config_file::ConfigFile;
use crate::cli::explain::letter_judge;
use crate::cli::files;
use crate::cli::output::{Failure, print, print_error};
use crate::cli::table::printable;
use crate::config::{self, SecretsNeeded};
use crate::dead_letter::{Letter, LetterFilter, ListedLetter};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReplayArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Say how many letters it would be, and how long they would take; send none
    #[arg(long)]
    dry_run: bool,
    /// Send back only letters that would be delivered now, by the fields and the configuration as they are; the others
    /// stay, and it says why. Reads the fields of the accounts concerned, at most six calls for each, and needs their keys
    #[arg(long)]
    if_valid: bool,
    /// The most letters a second, such as 50/s
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<f64>,
    /// For programs: the outcome as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArguments,
}

pub(super) async fn run(arguments: ReplayArguments) -> Result<(), Failure> {
    let ReplayArguments { config, dry_run, if_valid, rate, json, filter } = arguments;
    let command = LetterCommand::open(config.load(SecretsNeeded::Broker)?)?;
    let filter = filter.into_filter();
    let judge = if if_valid {
        Some(letter_judge(&command.config, &accounts_concerned(&command, &filter).await?).await?)
    } else {
        None
    };
    if dry_run {
        return estimate::estimate(&command, filter, judge, json).await;
    }
    let log = &command.config.log;
    let _logging = telemetry::start(log.format, &log.level, config::environment("RUST_LOG"));
    let order = LetterOrder {
        filter,
        who: command.who.clone(),
        accounts: command.config.accounts.iter().map(|account| account.name.clone()).collect(),
        rate,
        judge,
        counter: None,
    };
    let progress = watch::Sender::new(LetterProgress::default());
    let replaying = Box::pin(command.queue.replay(order, &progress, &command.stop));
    let outcome = with_bar("sent back", &progress, replaying).await;
    let end = progress.borrow().clone();
    conclude(&command, &end, json, "sent back")?;
    outcome.map_err(failure)?;
    verdict(&command, &end)
}

/// The accounts of the letters that are meant. Those without one may turn out to be any account's.
async fn accounts_concerned(command: &LetterCommand, filter: &LetterFilter) -> Result<Vec<String>, Failure> {
    let selection = filter.clone().selection(Timestamp::now());
    let all = || command.config.accounts.iter().map(|account| account.name.to_string());
    let mut found = BTreeSet::new();
    let see = |letter: &ListedLetter, _: &Letter| {
        if selection.holds(letter) {
            match &letter.account {
                Some(account) => drop(found.insert(account.clone())),
                None => found.extend(all()),
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    command.queue.look(&command.who, &command.stop, see).await.map_err(failure)?;
    Ok(found.into_iter().collect())
}

/// Shows the progress on a terminal until the work is over.
pub(super) async fn with_bar<T>(
    done: &str,
    progress: &watch::Sender<LetterProgress>,
    mut work: impl Future<Output = T> + Unpin,
) -> T {
    let bar = files::bar();
    let mut seen = progress.subscribe();
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            Ok(()) = seen.changed() => {
                let now = seen.borrow_and_update();
                let LetterProgress { at_start, seen, done: number, .. } = &*now;
                let (seen, at_start) = (told::count(*seen), told::count(*at_start));
                bar.set_message(format!("{} {done}, {seen} of {at_start} looked at", told::letters(*number)));
                bar.tick();
            }
        }
    };
    bar.finish_and_clear();
    outcome
}

/// Says what became of an order, and why some letters stayed.
pub(super) fn conclude(
    command: &LetterCommand,
    end: &LetterProgress,
    json: bool,
    done: &str,
) -> Result<(), Failure> {
    if json {
        let line = serde_json::to_string(end).map_err(Failure::failed)?;
        return print(format!("{line}\n"));
    }
    if end.matched == 0 {
        return Ok(());
    }
    let mut text = format!("{} {done}", told::letters(end.done));
    let stay = end.failed + end.skipped;
    if stay > 0 {
        text.push_str(", ");
        text.push_str(&told::letters(stay));
        text.push_str(" left in ");
        text.push_str(&command.queue.name());
    }
    text.push('\n');
    for (why, letters) in &end.causes {
        text.extend(["  ", &told::letters(*letters), ": ", &printable(why), "\n"]);
    }
    print(text)
}

/// The exit status of an order that came to its end.
pub(super) fn verdict(command: &LetterCommand, end: &LetterProgress) -> Result<(), Failure> {
    match &end.state {
        LetterState::Stopped => {
            return Err(Failure::Failed(
                "stopped by a signal; the other letters stay where they are. The same command goes on"
                    .to_owned(),
            ));
        }
        LetterState::Starting | LetterState::Running | LetterState::Done | LetterState::Failed(_) => {}
    }
    if end.matched == 0 {
        return Err(nothing_matched(&command.queue.name()));
    }
    if end.seen < end.at_start
        && let Some(note) =
            told::unseen(crate::broker::LettersSeen { at_start: end.at_start, seen: end.seen })
    {
        print_error(&note);
    }
    if end.failed > 0 {
        return Err(Failure::Failed(format!("{} could not be sent back", told::letters(end.failed))));
    }
    Ok(())
}
