//! The dead-letter queue of a configuration, and what all commands about it share.

use tokio_util::sync::CancellationToken;

use super::told;
use crate::broker::{DeadLetterQueue, LetterQueueError, LettersSeen, Names};
use crate::cli::running::engine;
use crate::cli::terminal::output::{Failure, print_error};
use crate::config::{self, Config};

/// The queue of a configuration, and who works with it.
pub(in crate::cli) struct LetterCommand {
    pub(in crate::cli) config: Config,
    pub(in crate::cli) queue: DeadLetterQueue,
    pub(in crate::cli) who: String,
    pub(in crate::cli) stop: CancellationToken,
    _signals: tokio::task::JoinSet<()>,
}

impl LetterCommand {
    pub(in crate::cli) fn open(config: Config) -> Result<Self, Failure> {
        let addresses = config.broker.addresses(&config::environment);
        let addresses = addresses.map_err(|error| Failure::Usage(format!("broker.url: {error}")))?;
        let names = Names::new(&config.broker.queue);
        let queue = DeadLetterQueue::new(&addresses, &names, config.broker.opener());
        let stop = CancellationToken::new();
        let signals = engine::stop_on_signals(stop.clone())?;
        Ok(Self { config, queue, who: told::operator(), stop, _signals: signals })
    }

    /// Fails if a look was broken off.
    pub(in crate::cli) fn whole(&self, looked: LettersSeen) -> Result<(), Failure> {
        if self.stop.is_cancelled() {
            return Err(Failure::Failed("stopped by a signal before all letters were read".to_owned()));
        }
        if let Some(note) = told::unseen(looked) {
            print_error(&note);
        }
        Ok(())
    }
}

pub(in crate::cli) fn failure(error: LetterQueueError) -> Failure {
    match error {
        LetterQueueError::Unreachable(_) => Failure::Unreachable(error.to_string()),
        LetterQueueError::NoQueue(_)
        | LetterQueueError::Claimed { .. }
        | LetterQueueError::Interrupted(_)
        | LetterQueueError::NotPermitted(_)
        | LetterQueueError::Output(_) => Failure::failed(error),
    }
}

pub(in crate::cli) fn nothing_matched(queue: &str) -> Failure {
    Failure::Failed(format!("no letter in {queue} matches; `freshet dead-letters list` shows what is there"))
}
