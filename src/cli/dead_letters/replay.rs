//! `dead-letters replay`: sends letters back.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::ending::{conclude, verdict};
use super::estimate;
use crate::broker::{LetterOrder, LetterProgress};
use crate::cli::config_file::ConfigFile;
use crate::cli::letters::arguments::{FilterArguments, rate};
use crate::cli::letters::command::{LetterCommand, failure};
use crate::cli::letters::explaining::LetterExplainer;
use crate::cli::letters::judging::judge;
use crate::cli::letters::told;
use crate::cli::terminal::files;
use crate::cli::terminal::output::{Failure, print_error};
use crate::config::{self, SecretsNeeded};
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReplayArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Say how many letters it would be, and how long they would take; send none
    #[arg(long)]
    dry_run: bool,
    /// Send back only letters that would be delivered now, by the fields and the configuration as they are; the others
    /// stay, and it says why. Letters that are delivered only if a record exists already go, too. Reads the fields of the
    /// accounts concerned, at most six calls for each, and needs their keys
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
        let explainer = LetterExplainer::for_letters(&command, &filter, None).await?;
        explainer.notes().for_each(|note| print_error(&format!("letters that depend on this stay: {note}")));
        Some(judge(explainer))
    } else {
        None
    };
    if dry_run {
        return estimate::estimate(&command, filter, judge, json).await;
    }
    let log = &command.config.log;
    let _logging = telemetry::start(log.format, &log.level, config::environment("RUST_LOG"));
    let limit = filter.limit;
    let accounts: HashSet<String> =
        command.config.accounts.iter().map(|account| account.name.to_string()).collect();
    let order = LetterOrder {
        filter,
        who: command.who.clone(),
        accounts: Arc::new(move |account: &str| accounts.contains(account)),
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
    verdict(&command, &end, limit)
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
