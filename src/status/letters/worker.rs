//! Looks at the dead letters and sends them back, among the daemon's tasks. At most one of each at a time.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::port::{LetterPort, LetterTask, ReplayError, ReplayRequest};
use super::state::{LetterView, LettersState, ReplayView};
use crate::broker::{
    DeadLetterQueue, LetterAccounts, LetterCounter, LetterOrder, LetterProgress, LetterQueueError,
    LetterState,
};
use crate::dead_letter::LetterGroups;
use crate::fleet::Survey;
use crate::lane::LaneRoster;
use crate::metrics::Metrics;

/// After a look, none begins for so long.
const LOOK_PAUSE: Duration = Duration::from_secs(15);
/// Nor for so many times as it took: letters that are looked at cannot be sent back meanwhile.
const LOOK_PAUSE_FACTOR: u32 = 20;
/// What was seen is not read again for so long if the queue was counted since and holds as many letters.
const UNCHANGED_FOR: SignedDuration = SignedDuration::from_mins(5);

/// Does what the pages ask, on the daemon's runtime.
#[derive(Debug)]
pub struct LetterWorker {
    queue: DeadLetterQueue,
    lanes: LaneRoster,
    metrics: Arc<Metrics>,
    survey: Arc<Survey>,
    commands: mpsc::Receiver<LetterTask>,
    state: watch::Sender<LettersState>,
    /// Ends the replay that goes on.
    stop_replay: CancellationToken,
}

/// What one of the worker's tasks came to.
enum WorkEnd {
    /// There was nothing new to look at.
    Unchanged,
    Looked {
        began: Instant,
        outcome: Result<LetterView, LetterQueueError>,
    },
    Replayed,
    /// A replay did not even begin. What was there before it.
    NotBegun {
        before: Option<ReplayView>,
    },
    /// The same, but nobody was told: who asked waits no longer.
    NotBegunUnheard,
}

impl LetterWorker {
    /// Nothing is done before it runs. The accounts that letters may go to are those of `lanes`.
    pub fn new(
        queue: DeadLetterQueue,
        lanes: LaneRoster,
        metrics: Arc<Metrics>,
        survey: Arc<Survey>,
    ) -> (Self, LetterPort) {
        let (state, shown) = watch::channel(LettersState::default());
        let (port, commands) = LetterPort::new(shown);
        let stop_replay = CancellationToken::new();
        (Self { queue, lanes, metrics, survey, commands, state, stop_replay }, port)
    }

    /// Until `stop`; then what goes on ends in good order.
    pub async fn run(mut self, stop: &CancellationToken) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next() => self.ended(ended),
                Some(command) = self.commands.recv() => self.take(command, &mut tasks, stop),
                else => break,
            }
        }
        // Nobody waits for an answer in vain.
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            drop(command);
        }
        while let Some(ended) = tasks.join_next().await {
            self.ended(ended);
        }
    }

    fn take(&mut self, command: LetterTask, tasks: &mut JoinSet<WorkEnd>, stop: &CancellationToken) {
        match command {
            LetterTask::Look => {
                if self.state.borrow().is_due(Instant::now()) {
                    self.look(tasks, stop);
                } else {
                    // Who waits for it is told that nothing comes.
                    self.state.send_modify(|_| {});
                }
            }
            LetterTask::Replay(request, reply) => {
                if self.state.borrow().replays() {
                    reply.send(Err(ReplayError::Runs)).ok();
                } else {
                    self.replay(*request, reply, tasks, stop);
                }
            }
            LetterTask::Stop(reply) => {
                let runs = self.state.borrow().replays();
                if runs {
                    self.stop_replay.cancel();
                    self.state.send_modify(|state| {
                        if let Some(replay) = &mut state.replay {
                            replay.stopping = true;
                        }
                    });
                }
                reply.send(runs).ok();
            }
        }
    }

    fn look(&self, tasks: &mut JoinSet<WorkEnd>, stop: &CancellationToken) {
        self.state.send_modify(|state| state.looking = true);
        let (queue, stop, survey) = (self.queue.clone(), stop.clone(), self.survey.clone());
        let who = format!("the pages of {}", self.survey.name());
        let seen_before = {
            let state = self.state.borrow();
            state.view.clone().filter(|_| state.problem.is_none())
        };
        tasks.spawn(async move {
            let began = Instant::now();
            // With hundreds of accounts it takes a while, and lanes share this thread.
            let unchanged = tokio::task::spawn_blocking(move || {
                seen_before.is_some_and(|view| is_unchanged(&view, &survey))
            });
            if unchanged.await.unwrap_or_default() {
                return WorkEnd::Unchanged;
            }
            let mut groups = LetterGroups::default();
            let looked = queue.look_alone(&who, &stop, |letter, _| {
                groups.add(letter);
                Ok(ControlFlow::Continue(()))
            });
            let looked = looked.await;
            if stop.is_cancelled() {
                // It saw a part, at most.
                return WorkEnd::Unchanged;
            }
            let outcome = looked.map(|seen| LetterView {
                groups: groups.into_sorted(),
                seen,
                read_at: Timestamp::now(),
            });
            WorkEnd::Looked { began, outcome }
        });
    }

    fn replay(
        &mut self,
        request: ReplayRequest,
        reply: oneshot::Sender<Result<(), ReplayError>>,
        tasks: &mut JoinSet<WorkEnd>,
        stop: &CancellationToken,
    ) {
        let ReplayRequest { filter, rate, who } = request;
        let progress = watch::Sender::new(LetterProgress::default());
        let view = ReplayView::new(filter.clone(), rate, progress.subscribe());
        let mut before = None;
        self.state.send_modify(|state| before = state.replay.replace(view));
        self.stop_replay = stop.child_token();
        tracing::info!(who, filter = %filter, rate, "a replay of dead letters was asked for");
        let metrics = self.metrics.clone();
        let counter: LetterCounter = Arc::new(move |account: &str, reason: &str| {
            metrics.dead_letters_replayed.with_label_values(&[account, reason]).inc();
        });
        let lanes = self.lanes.clone();
        let accounts: LetterAccounts =
            Arc::new(move |account: &str| lanes.lanes().iter().any(|lane| **lane.account() == *account));
        let order = LetterOrder { filter, who, accounts, rate, judge: None, counter: Some(counter) };
        let (queue, stop) = (self.queue.clone(), self.stop_replay.clone());
        tasks.spawn(async move {
            let mut seen = progress.subscribe();
            let mut work = pin!(queue.replay(order, &progress, &stop));
            let ended = tokio::select! {
                ended = &mut work => Some(ended),
                _ = seen.wait_for(|progress| progress.state != LetterState::Starting) => None,
            };
            if let Some(Err(error)) = &ended {
                let heard = reply.send(Err(error.into())).is_ok();
                return if heard { WorkEnd::NotBegun { before } } else { WorkEnd::NotBegunUnheard };
            }
            reply.send(Ok(())).ok();
            if ended.is_none() {
                // Its state tells the outcome.
                work.await.ok();
            }
            WorkEnd::Replayed
        });
    }

    fn ended(&self, ended: Result<WorkEnd, tokio::task::JoinError>) {
        self.state.send_modify(|state| match ended {
            Ok(WorkEnd::Unchanged) => {
                state.looking = false;
                state.next_look = Some(Instant::now() + LOOK_PAUSE);
            }
            Ok(WorkEnd::Looked { began, outcome }) => {
                state.looking = false;
                let pause = LOOK_PAUSE.max(began.elapsed() * LOOK_PAUSE_FACTOR);
                state.next_look = Some(Instant::now() + pause);
                state.problem = None;
                match outcome {
                    Ok(view) => state.view = Some(Arc::new(view)),
                    Err(error) => state.problem = Some((error.to_string(), Timestamp::now())),
                }
            }
            Ok(WorkEnd::NotBegun { before }) => state.replay = before,
            Ok(WorkEnd::NotBegunUnheard) => {
                if let Some(replay) = &mut state.replay {
                    replay.ended = Some(Timestamp::now());
                }
            }
            Ok(WorkEnd::Replayed) => {
                if let Some(replay) = &mut state.replay {
                    replay.ended = Some(Timestamp::now());
                }
                // What was seen before is over.
                state.next_look = None;
                state.view = None;
            }
            Err(error) => {
                state.looking = false;
                state.next_look = Some(Instant::now() + LOOK_PAUSE);
                state.problem = Some((format!("{error}; this is a bug"), Timestamp::now()));
                if let Some(replay) = state.replay.as_mut().filter(|replay| !replay.runs()) {
                    replay.ended.get_or_insert_with(Timestamp::now);
                }
            }
        });
    }
}

/// Whether the queue was counted after it was seen, and held as many letters.
fn is_unchanged(view: &LetterView, survey: &Survey) -> bool {
    let now = Timestamp::now();
    if now.duration_since(view.read_at) >= UNCHANGED_FOR {
        return false;
    }
    let counted = survey.fleet(Instant::now(), now).queues;
    counted.at.is_some_and(|at| at > view.read_at) && counted.dead_letters_waiting == Some(view.seen.seen)
}
