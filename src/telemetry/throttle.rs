//! Holds like log lines back, and writes how many it held back once a minute and at the end. Lines below `info` pass.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::kind::{KindTexts, LineKind};
use super::repeats::{HeldBack, Repeats};

/// What the operator does is caused by no sender and no answer, and each of it is told: starts, reloads, stops, replays.
const COMMANDS: [&str; 3] =
    ["freshet::cli", "freshet::status::letters", "freshet::broker::dead_letter_queue"];
/// The target of the lines that count others. They are never held back.
pub(super) const TARGET: &str = module_path!();

/// How often it is looked for lines whose number is to be told.
const TICK: Duration = Duration::from_secs(1);

/// A layer that stops lines before any other layer writes them. Clones share what they count.
#[derive(Debug, Clone, Default)]
pub(super) struct Throttle(Arc<Mutex<Repeats>>);

impl Throttle {
    /// Never returns.
    pub(super) async fn report_in_time(self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = ticks.tick().await;
            let due = self.repeats().take_due(now);
            due.iter().for_each(report);
        }
    }

    /// Tells what is held back so far.
    pub(super) fn report_all(&self) {
        let held_back = self.repeats().take_all(Instant::now());
        held_back.iter().for_each(report);
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Throttle {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let target = metadata.target();
        if *metadata.level() > Level::INFO
            || target == TARGET
            || COMMANDS.iter().any(|commands| target.starts_with(commands))
        {
            return true;
        }
        let kind = LineKind::of(event);
        self.repeats().admit(kind, *metadata.level(), Instant::now(), || KindTexts::of(event))
    }
}

fn report(held_back: &HeldBack) {
    let HeldBack { level, texts: KindTexts { message, fields }, lines, within } = held_back;
    let [account, reason, queue, consumer, state, selector, stall, entity, field] =
        fields.each_ref().map(Option::as_deref);
    // A line's level is part of its place in the code.
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                target: TARGET,
                $level,
                log.message = message,
                log.held_back = lines,
                log.within_s = within.as_secs(),
                account,
                reason,
                queue,
                consumer,
                lane.state = state,
                selector,
                stall,
                entity,
                field,
                "lines like this were held back"
            )
        };
    }
    match *level {
        Level::ERROR => line!(Level::ERROR),
        Level::WARN => line!(Level::WARN),
        _ => line!(Level::INFO),
    }
}

#[cfg(test)]
mod tests;
