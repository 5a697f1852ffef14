//! `freshet run --events`: the daemon's lanes, fed from a file.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::engine::{self, Engine};
use super::summary;
use crate::cli::terminal::files;
use crate::cli::terminal::output::{Failure, print};
use crate::config::{self, Config};
use crate::delivery::HeldBytes;
use crate::file_feed::{
    Counts, Discard, Feed, FeedError, FileId, LetterFile, LetterFileError, LetterStore, SharedCounts,
    longest_line, read_lines,
};

pub(in crate::cli) async fn run(
    config: &Config,
    events: &Path,
    dead_letters: Option<&Path>,
    hangups: Signal,
) -> Result<(), Failure> {
    let input = files::open(events)?;
    let letters: Box<dyn LetterStore> = if let Some(path) = dead_letters {
        Box::new(open_letters(path, input.file, longest_line(config.broker.max_batch))?)
    } else {
        // Said before the start: a long back-fill would have to be run again to know what failed.
        tracing::warn!(
            "events that cannot be delivered will be counted and not kept; --dead-letters FILE keeps them"
        );
        Box::new(Discard)
    };
    let stop = CancellationToken::new();
    let _signals = engine::stop_on_signals(stop.clone())?;
    let _hangups = go_on_at_hangups(hangups);
    let engine = Engine::start(config, &config::environment, &stop)?;
    let closed = CancellationToken::new();
    // A daemon on this machine may use the address already. A back-fill does not need the pages.
    let _pages = match engine::listen(config).await {
        Ok(listener) => {
            Some(engine::serve_pages(listener, engine.status_sources(&config.broker.replica, None), &closed)?)
        }
        Err(Failure::Failed(error)) => {
            tracing::warn!(error, "no status pages");
            None
        }
        Err(failure) => return Err(failure),
    };
    let (counts, ended) = deliver(engine, config, input.events, letters, stop).await;
    closed.cancel();
    let mut text = summary::counts(&counts);
    let dead_lettered: u64 = counts.dead_lettered.values().sum();
    if dead_lettered > 0 && dead_letters.is_none() {
        text.push_str("The dead letters were not kept; name a file with --dead-letters to have them.\n");
    }
    let printed = print(&text);
    check_complete(&counts, ended)?;
    printed.map_err(|failure| match failure {
        Failure::Failed(text) => Failure::Failed(format!("{text}; but every event is settled")),
        other @ (Failure::Logged | Failure::Usage(_) | Failure::Unreachable(_)) => other,
    })
}

/// Ending there would repeat tracks at the next run, and what the file holds is done soon.
fn go_on_at_hangups(mut hangups: Signal) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("the configuration is not read again while a file is delivered");
        }
    });
    tasks
}

fn open_letters(path: &Path, events: Option<FileId>, longest_line: usize) -> Result<LetterFile, Failure> {
    let name = path.display();
    LetterFile::open(path, events, longest_line).map_err(|error| match error {
        LetterFileError::Packed | LetterFileError::HoldsTheEvents | LetterFileError::HoldsOtherThings => {
            Failure::Usage(format!("--dead-letters {name}: {error}"))
        }
        LetterFileError::Locked(_) | LetterFileError::Io(_) => {
            Failure::Failed(format!("cannot write dead letters to {name}: {error}"))
        }
    })
}

/// Fails unless every event of the file was read and settled.
fn check_complete(counts: &Counts, fed: Result<(), FeedError>) -> Result<(), Failure> {
    let (unsettled, read) = (counts.unsettled(), counts.read);
    let (why, rest) = match fed {
        Ok(()) if unsettled == 0 => return Ok(()),
        Ok(()) => ("stopped by a signal".to_owned(), ""),
        Err(error) => (error.to_string(), ", and what comes after them was not read"),
    };
    if read == 0 {
        return Err(Failure::Failed(format!("{why}; no event was read")));
    }
    let settled = match unsettled {
        0 => format!("the {read} events read are settled"),
        _ => format!("{unsettled} of the {read} events read were not settled"),
    };
    Err(Failure::Failed(format!(
        "{why}: {settled}{rest}; run again, identifies write the same values, but tracks and pages that were delivered \
         will show twice"
    )))
}

/// Delivers the input until all is settled. The counts are right however it ends.
pub(in crate::cli) async fn deliver(
    engine: Engine,
    config: &Config,
    input: Box<dyn Read + Send>,
    letters: Box<dyn LetterStore>,
    stop: CancellationToken,
) -> (Counts, Result<(), FeedError>) {
    let counts = Arc::new(SharedCounts::default());
    let bar = files::bar();
    let Engine { metrics, lanes, .. } = engine;
    let shown = lanes.shown().borrow().clone();
    let feed = Feed {
        account_index: shown.index.clone(),
        opener: config.broker.opener(),
        lanes: shown.inlets.values().cloned().collect(),
        prefetch: config.broker.prefetch.get(),
        held: HeldBytes::new(config.broker.prefetch_bytes),
        metrics,
        counts: counts.clone(),
        letters,
    };
    drop(shown);
    // A lane ends when nobody can feed it any more.
    let mut lanes = lanes.into_tasks();
    let lines = read_lines(input, longest_line(config.broker.max_batch));
    let feeding = async {
        let fed = feed.run(lines, stop.clone()).await;
        while lanes.join_next().await.is_some() {}
        fed
    };
    tokio::pin!(feeding);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let fed = loop {
        tokio::select! {
            fed = &mut feeding => break fed,
            _ = tick.tick() => show(&bar, &counts.counts()),
        }
    };
    bar.finish_and_clear();
    (counts.counts(), fed)
}

fn show(bar: &ProgressBar, counts: &Counts) {
    let dead: u64 = counts.dead_lettered.values().sum();
    bar.set_message(format!("{} read, {} settled, {dead} dead letters", counts.read, counts.settled()));
    bar.tick();
}
