//! Has the daemon look at itself every few seconds, tell the other replicas, and hear what they tell.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::broker::{StatusMessage, StatusPort};
use crate::fleet::{Survey, TELL_INTERVAL};

/// After a message comes a pause of so many times its reading.
const HEARING_PAUSE: u32 = 4;
/// Messages of other replicas that wait to be read.
const UNREAD_MESSAGES: usize = 64;

/// Starts the tasks, and returns the way to the broker. On `stop` the others are told that this replica leaves.
pub(in crate::cli) fn start(survey: Arc<Survey>, stop: &CancellationToken) -> (JoinSet<()>, StatusPort) {
    let (outgoing_in, outgoing) = watch::channel(Arc::default());
    let (incoming, mut incoming_out) = mpsc::channel::<StatusMessage>(UNREAD_MESSAGES);
    let mut tasks = JoinSet::new();
    let (telling, stop) = (survey.clone(), stop.clone());
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(TELL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in 0.. {
            if stop.run_until_cancelled(ticks.tick()).await.is_none() {
                break;
            }
            let survey = telling.clone();
            // With hundreds of busy lanes it takes a while, and lanes share this thread.
            let looking =
                tokio::task::spawn_blocking(move || survey.tell(turn, Instant::now(), Timestamp::now()));
            if let Ok(messages) = looking.await {
                outgoing_in.send_replace(Arc::new(messages));
            }
        }
        outgoing_in.send_replace(Arc::new(telling.leave()));
        // The messages must not end before they are sent.
        outgoing_in.closed().await;
    });
    tasks.spawn(async move {
        while let Some(StatusMessage { body, own_user }) = incoming_out.recv().await {
            let survey = survey.clone();
            let began = Instant::now();
            let hearing = tokio::task::spawn_blocking(move || {
                survey.hear(&body, own_user, Instant::now(), Timestamp::now());
            });
            hearing.await.ok();
            // Anybody may publish there: hearing takes a part of a core at most.
            tokio::time::sleep(began.elapsed() * HEARING_PAUSE).await;
        }
    });
    (tasks, StatusPort { outgoing, incoming })
}
