//! `freshet run --events`: the same engine, fed from a file.

use std::fs::File;
use std::io::{BufWriter, Read, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::engine::{self, Engine};
use super::{Failure, files, summary};
use crate::broker::{Counts, Feed, FeedError, Held, Keep, Letter, Progress};
use crate::config::Config;

pub(super) async fn run(config: &Config, events: &Path, dead_letters: Option<&Path>) -> Result<(), Failure> {
    let input = files::open(events)?;
    let keep = keeper(dead_letters)?;
    let stop = CancellationToken::new();
    let _signals = engine::stop_on_signals(stop.clone())?;
    let engine = Engine::start(config, &stop)?;
    let closed = CancellationToken::new();
    // A daemon on this machine may have the address; a back-fill goes on without pages.
    let _pages = match engine::listen(config).await {
        Ok(listener) => {
            Some(engine::watch(listener, engine.sights(&config.broker.replica, None), closed.clone()))
        }
        Err(Failure::Failed(error)) => {
            tracing::warn!(error, "no status pages");
            None
        }
        Err(failure) => return Err(failure),
    };
    let counts = deliver(engine, config, input, keep, stop).await?;
    closed.cancel();
    print!("{}", summary::counts(&counts));
    let buried: u64 = counts.dead_lettered.values().sum();
    if buried > 0 && dead_letters.is_none() {
        println!("The dead letters were not kept; name a file with --dead-letters to have them.");
    }
    if counts.returned > 0 {
        return Err(Failure::Failed(format!(
            "told to stop: {} of the {} events read were not settled; run again, identifies write the same values, but \
             tracks and pages that were delivered will show twice",
            counts.returned, counts.read
        )));
    }
    Ok(())
}

/// Feeds the input through the engine until all is settled.
pub(super) async fn deliver(
    engine: Engine,
    config: &Config,
    input: Box<dyn Read + Send>,
    keep: Keep,
    stop: CancellationToken,
) -> Result<Counts, Failure> {
    let progress = Arc::new(Progress::default());
    let bar = files::bar();
    let Engine { metrics, directory, doors, mut lanes, .. } = engine;
    let feed = Feed {
        directory,
        lanes: doors,
        prefetch: config.broker.prefetch.get(),
        held: Held::new(config.broker.prefetch_bytes),
        metrics,
        progress: progress.clone(),
        keep,
    };
    let feeding = async {
        let fed = feed.run(input, stop.clone()).await;
        while lanes.join_next().await.is_some() {}
        fed
    };
    tokio::pin!(feeding);
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let fed = loop {
        tokio::select! {
            fed = &mut feeding => break fed,
            _ = tick.tick() => show(&bar, &progress.counts()),
        }
    };
    bar.finish_and_clear();
    fed.map_err(|error: FeedError| Failure::failed(error))?;
    Ok(progress.counts())
}

/// Writes each dead letter through to the file before its event counts as settled.
fn keeper(path: Option<&Path>) -> Result<Keep, Failure> {
    let Some(path) = path else { return Ok(Box::new(|_| Ok(()))) };
    let file = File::create(path).map_err(|error| {
        Failure::Failed(format!("cannot write dead letters to {}: {error}", path.display()))
    })?;
    let mut out = BufWriter::new(file);
    Ok(Box::new(move |letter| {
        serde_json::to_writer(&mut out, &line(&letter))?;
        out.write_all(b"\n")?;
        out.flush()
    }))
}

/// One line of the dead-letter file: the headers, and the event as the text it was.
fn line(letter: &Letter) -> Value {
    match std::str::from_utf8(&letter.body) {
        Ok(text) => json!({ "headers": letter.headers, "body": text }),
        Err(_) => json!({ "headers": letter.headers, "body_bytes": letter.body.to_vec() }),
    }
}

fn show(bar: &ProgressBar, counts: &Counts) {
    let dead: u64 = counts.dead_lettered.values().sum();
    bar.set_message(format!("{} read, {} settled, {dead} dead letters", counts.read, counts.settled()));
    bar.tick();
}
