//! `freshet publish`: puts events from a file on the queue.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::poll_fn;
use futures_util::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::config_file::{ConfigFile, account_named};
use super::running::{engine, summary};
use super::terminal::files;
use super::terminal::malformed_lines::MalformedLines;
use super::terminal::output::{Failure, print, print_error};
use crate::broker::{Names, PublishError, Published, Publisher};
use crate::config::{self, SecretsNeeded};
use crate::file_feed::{ReadLine, longest_line, read_lines};

#[derive(Debug, clap::Args)]
pub(super) struct PublishArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Events, one JSON object per line, or dead letters that `run --dead-letters` has written; .gz for gzip, - for
    /// standard input
    #[arg(value_name = "FILE")]
    events: PathBuf,
    /// Route all events to this account, whatever keys they have
    #[arg(long)]
    account: Option<String>,
}

pub(super) async fn run(arguments: PublishArguments) -> Result<(), Failure> {
    let config = arguments.config.load(SecretsNeeded::Broker)?;
    if let Some(named) = &arguments.account {
        account_named(&config, named)?;
    }
    let input = files::open(&arguments.events)?;
    let stop = CancellationToken::new();
    let _signals = engine::stop_on_signals(stop.clone())?;
    let names = Names::new(&config.broker.queue);
    let accounts = config.accounts.iter().map(|account| account.name.clone()).collect();
    let account = arguments.account.map(Into::into);
    let addresses = config.broker.addresses(&config::environment);
    let addresses = addresses.map_err(|error| Failure::Usage(format!("broker.url: {error}")))?;
    let publisher = Publisher::connect(&addresses, &names, account, accounts)
        .await
        .map_err(|error| Failure::Unreachable(error.to_string()))?;
    let bar = files::bar();
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut malformed = MalformedLines::default();
    let lines = lines(input.events, longest_line(config.broker.max_batch), &mut malformed);
    let published =
        publisher.publish(lines, &stop, |confirmed| bar.set_message(format!("{confirmed} confirmed"))).await;
    bar.finish_and_clear();
    let published = published.map_err(|error: PublishError| Failure::failed(error))?;
    let printed = print(format!("{}, confirmed by the broker\n", places(published, &config.broker.queue)));
    let malformed = malformed.told();
    if stop.is_cancelled() {
        if let Some(told) = &malformed {
            print_error(told);
        }
        return Err(Failure::Failed("stopped by a signal before the end of the file".to_owned()));
    }
    printed?;
    malformed.map_or(Ok(()), |told| Err(Failure::Failed(told)))
}

/// A line that is too long ends the reading: there is no place to note that it was left out.
fn lines(
    events: Box<dyn Read + Send>,
    limit: usize,
    malformed: &mut MalformedLines,
) -> impl Stream<Item = std::io::Result<Vec<u8>>> + Unpin {
    let mut lines = read_lines(events, limit);
    poll_fn(move |context| lines.poll_recv(context)).enumerate().map(move |(index, line)| match line? {
        ReadLine::Whole(line) => {
            malformed.add(&line);
            Ok(line)
        }
        ReadLine::TooLong => {
            let number = index + 1;
            Err(std::io::Error::other(format!(
                "line {number} has more than {limit} bytes, too many for a message"
            )))
        }
    })
}

/// Adds the key to check, unless the error names it.
fn places(Published { intake, lanes }: Published, queue: &str) -> String {
    let on_intake = || format!("{} on {queue}", summary::events(intake));
    let in_lanes = |number: String| format!("{number} back in the accounts' lanes");
    match (intake, lanes) {
        (_, 0) => on_intake(),
        (0, _) => in_lanes(summary::events(lanes)),
        _ => format!("{} and {}", on_intake(), in_lanes(lanes.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_the_events_are() {
        for (intake, lanes, expected) in [
            (5, 0, "5 events on q"),
            (0, 0, "0 events on q"),
            (0, 1, "1 event back in the accounts' lanes"),
            (1, 3, "1 event on q and 3 back in the accounts' lanes"),
        ] {
            assert_eq!(places(Published { intake, lanes }, "q"), expected);
        }
    }
}
