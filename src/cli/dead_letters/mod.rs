//! `freshet dead-letters`: looks at what could not be delivered, saves it, sends it back, or removes it.

mod arguments;
mod drop;
mod estimate;
mod export;
mod list;
mod replay;
mod show;
mod told;

use clap::Subcommand;
use tokio_util::sync::CancellationToken;

use super::output::Failure;
use crate::broker::{DeadLetterQueue, LetterQueueError, LettersSeen, Names};
use crate::config::{self, Config};

#[derive(Debug, clap::Args)]
pub(super) struct DeadLettersArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Count the letters by account, reason and trait; with a filter, list them
    #[command(
        after_help = "Examples:\n  freshet dead-letters list\n  freshet dead-letters list --reason invalid_custom_field --limit 20\n  freshet dead-letters list --all --json"
    )]
    List(list::ListArguments),
    /// Show what one letter says; its body only with --body, as it may hold personal data
    #[command(
        after_help = "Examples:\n  freshet dead-letters show m-1\n  freshet dead-letters show m-1 --body --json > event.ndjson"
    )]
    Show(show::ShowArguments),
    /// Save letters to a file, whole, and leave them where they are
    #[command(after_help = "Example:\n  freshet dead-letters export letters.ndjson.gz --account acme")]
    Export(export::ExportArguments),
    /// Send letters back to their accounts' lanes
    #[command(
        after_help = "Examples:\n  freshet dead-letters replay --reason unknown_custom_field --dry-run\n  freshet dead-letters replay --account acme --since 2h --rate 50/s"
    )]
    Replay(replay::ReplayArguments),
    /// Remove letters for good, and save them to a file first
    #[command(
        after_help = "Examples:\n  freshet dead-letters drop --reason malformed_json\n  freshet dead-letters drop --message-id m-1 --discard --yes"
    )]
    Drop(drop::DropArguments),
}

pub(super) async fn run(arguments: DeadLettersArguments) -> Result<(), Failure> {
    match arguments.action {
        Action::List(arguments) => list::run(arguments).await,
        Action::Show(arguments) => show::run(arguments).await,
        Action::Export(arguments) => export::run(arguments).await,
        Action::Replay(arguments) => replay::run(arguments).await,
        Action::Drop(arguments) => drop::run(arguments).await,
    }
}

/// The queue of a configuration, and who works with it.
struct Desk {
    config: Config,
    queue: DeadLetterQueue,
    who: String,
    stop: CancellationToken,
    _signals: tokio::task::JoinSet<()>,
}

impl Desk {
    fn open(config: Config) -> Result<Self, Failure> {
        let addresses = config.broker.addresses(&config::environment);
        let addresses = addresses.map_err(|error| Failure::Usage(format!("broker.url: {error}")))?;
        let names = Names::new(&config.broker.queue);
        let queue = DeadLetterQueue::new(&addresses, &names, config.broker.opener());
        let stop = CancellationToken::new();
        let signals = super::engine::stop_on_signals(stop.clone())?;
        Ok(Self { config, queue, who: told::operator(), stop, _signals: signals })
    }

    /// Fails if a look was broken off.
    fn whole(&self, looked: LettersSeen) -> Result<(), Failure> {
        if self.stop.is_cancelled() {
            return Err(Failure::Failed("stopped by a signal before all letters were read".to_owned()));
        }
        if let Some(note) = told::unseen(looked) {
            super::output::print_error(&note);
        }
        Ok(())
    }
}

fn failure(error: LetterQueueError) -> Failure {
    match error {
        LetterQueueError::Unreachable(_) => Failure::Unreachable(format!("{error}; check broker.url")),
        LetterQueueError::NoQueue(_)
        | LetterQueueError::Claimed { .. }
        | LetterQueueError::Interrupted(_)
        | LetterQueueError::NotPermitted(_)
        | LetterQueueError::Output(_) => Failure::failed(error),
    }
}

fn nothing_matched(queue: &str) -> Failure {
    Failure::Failed(format!("no letter in {queue} matches; `freshet dead-letters list` shows what is there"))
}
