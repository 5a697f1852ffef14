//! `dead-letters drop`: removes letters, and saves them first.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::ending::{conclude, verdict};
use super::replay::with_bar;
use crate::broker::{LetterJudge, LetterOrder, LetterProgress, LetterVerdict};
use crate::cli::config_file::ConfigFile;
use crate::cli::letters::arguments::FilterArguments;
use crate::cli::letters::command::{LetterCommand, failure, nothing_matched};
use crate::cli::letters::told;
use crate::cli::terminal::output::{Failure, print, print_error};
use crate::config::{self, SecretsNeeded};
use crate::dead_letter::{CountedLetters, Letter, LetterFilter};
use crate::file_feed::{LetterFile, LetterStore as _, longest_line};
use crate::telemetry;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(in crate::cli) struct DropArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Needed to drop all letters, without a filter
    #[arg(long)]
    all: bool,
    /// Save the letters to this file, and add to what it holds [default: QUEUE-dropped-TIME.ndjson in this folder]
    #[arg(long, value_name = "FILE", conflicts_with = "discard")]
    to: Option<PathBuf>,
    /// Save them nowhere
    #[arg(long)]
    discard: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// For programs: the outcome as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArguments,
}

pub(super) async fn run(arguments: DropArguments) -> Result<(), Failure> {
    let DropArguments { config, all, to, discard, yes, json, filter } = arguments;
    let filter = filter.into_filter();
    if filter.is_empty() && !all {
        return Err(Failure::Usage(
            "name a filter, such as --reason, or --all to drop every letter".to_owned(),
        ));
    }
    if !yes && !io::stdin().is_terminal() {
        return Err(Failure::Usage("nobody can be asked here: add --yes if you are sure".to_owned()));
    }
    let command = LetterCommand::open(config.load(SecretsNeeded::Broker)?)?;
    let queue = command.queue.name();
    let counted = if yes {
        None
    } else {
        let (matched, counted) = count(&command, filter.clone()).await?;
        ask(&queue, matched, discard)?;
        Some(counted)
    };
    let file = if discard { None } else { Some(to.unwrap_or_else(|| file_name(&queue, Timestamp::now()))) };
    let mut store = file.as_deref().map(|file| open(&command, file)).transpose()?;
    let log = &command.config.log;
    let _logging = telemetry::start(log.format, &log.level, config::environment("RUST_LOG"));
    let limit = filter.limit;
    let order = LetterOrder {
        filter,
        who: command.who.clone(),
        // Letters of every account may be dropped; nobody asks.
        accounts: Arc::new(|_: &str| true),
        rate: None,
        judge: counted.map(only_counted),
        counter: None,
    };
    let mut save = |letters: &[Letter]| {
        let Some(store) = &mut store else { return Ok(()) };
        letters.iter().try_for_each(|letter| store.append(letter))?;
        store.sync()
    };
    let progress = watch::Sender::new(LetterProgress::default());
    let dropping = Box::pin(command.queue.drop_letters(order, &mut save, &progress, &command.stop));
    let outcome = with_bar("dropped", &progress, dropping).await;
    let end = progress.borrow().clone();
    conclude(&command, &end, json, "dropped")?;
    if let Some(file) = &file {
        if end.done == 0 {
            remove_empty(file);
        } else {
            print_error(&format!("the letters are in {}; `freshet publish` takes them back", file.display()));
        }
    }
    outcome.map_err(failure)?;
    verdict(&command, &end, limit)
}

/// The letters that a person is asked about.
async fn count(command: &LetterCommand, filter: LetterFilter) -> Result<(u64, CountedLetters), Failure> {
    let selection = filter.selection(Timestamp::now());
    let (mut matched, mut counted) = (0, CountedLetters::default());
    let counting = command.queue.look(&command.who, &command.stop, |listed, letter| {
        if selection.holds(listed) {
            matched += 1;
            counted.add(letter);
        }
        let enough = matched >= selection.limit();
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    let looked = counting.await.map_err(failure)?;
    if command.stop.is_cancelled() || matched < selection.limit() {
        command.whole(looked)?;
    }
    if matched == 0 { Err(nothing_matched(&command.queue.name())) } else { Ok((matched, counted)) }
}

/// Holds back what nobody was asked about.
fn only_counted(counted: CountedLetters) -> LetterJudge {
    let counted = Mutex::new(counted);
    Arc::new(move |letter, _| {
        let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.take(letter) {
            LetterVerdict::Goes
        } else {
            LetterVerdict::Stays(
                "came in after the others were counted, or was on hand when RabbitMQ cut the reading off"
                    .to_owned(),
            )
        }
    })
}

fn ask(queue: &str, matched: u64, discard: bool) -> Result<(), Failure> {
    let saved = if discard { "They are NOT saved" } else { "They are saved to a file first" };
    print(format!(
        "{} will be removed from {queue}. {saved}.\nType the queue's name to go on: ",
        told::letters(matched)
    ))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Failure::failed)?;
    if answer.trim() == queue {
        Ok(())
    } else {
        Err(Failure::Failed("that is not its name; nothing was removed".to_owned()))
    }
}

fn file_name(queue: &str, now: Timestamp) -> PathBuf {
    let safe: String = queue.chars().map(|c| if c == '/' { '-' } else { c }).collect();
    format!("{safe}-dropped-{}.ndjson", now.strftime("%Y%m%dT%H%M%SZ")).into()
}

fn open(command: &LetterCommand, file: &Path) -> Result<LetterFile, Failure> {
    // A pipe's reader may go away with letters that it has taken and not read, when they are no longer in the queue.
    let is_no_file = std::fs::metadata(file).is_ok_and(|found| !found.is_file());
    if is_no_file || file == Path::new("-") {
        return Err(Failure::Usage(format!(
            "{} is no file on a disk, and letters could be lost on their way: name a file, or use `dead-letters export -` first",
            file.display()
        )));
    }
    let longest = longest_line(command.config.broker.max_batch);
    LetterFile::open(file, None, longest)
        .map_err(|error| Failure::Failed(format!("cannot save letters to {}: {error}", file.display())))
}

fn remove_empty(file: &Path) {
    let is_empty = std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() == 0);
    if is_empty && let Err(error) = std::fs::remove_file(file) {
        tracing::debug!(%error, "an empty file stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_saved_under_a_name_that_says_so() {
        let now = "2026-03-10T12:00:00Z".parse().unwrap();
        assert_eq!(file_name("a/b.dead", now).to_string_lossy(), "a-b.dead-dropped-20260310T120000Z.ndjson");
    }
}
