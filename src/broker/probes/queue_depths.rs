//! Counts what waits in the intake, the lanes and the dead letters, on one replica at a time: the one that holds an
//! exclusive queue. AMQP does not say which replica routes before it is handed a message, so that one cannot be asked
//! for.
//!
//! One channel, one queue after the other, at a bounded pace: 500 lanes take less than ten seconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use lapin::{Channel, Connection};

use crate::broker::amqp::channel::{self, ask};
use crate::broker::amqp::connection::ConnectionPool;
use crate::broker::amqp::refusal::ACCESS_REFUSED;
use crate::broker::context::Context;
use crate::broker::error::BrokerError;
use crate::broker::facts::QueueDepths;
use crate::broker::timing::{COUNT_CHANNELS, COUNT_INTERVAL, COUNT_PAUSE, COUNT_TIMEOUT, NAME_RETRY};
use crate::delivery::AccountName;

/// Counts while this replica holds the claim. What it counted is forgotten when it ends.
pub(in crate::broker) async fn count(
    context: Arc<Context>,
    pool: Arc<ConnectionPool>,
) -> Result<(), BrokerError> {
    let connection = &pool.pair(0)?.consuming;
    if connection.configuration().channel_max() < COUNT_CHANNELS {
        return Ok(());
    }
    let _forget = Forget(context.clone());
    let claim = context.names.counter();
    while let Err(error) = channel::reserve(connection, &claim).await {
        if error.is_refused(ACCESS_REFUSED) {
            return Ok(());
        }
        tokio::time::sleep(NAME_RETRY).await;
    }
    loop {
        let depths = depths(connection, &context).await;
        show(&context, &depths);
        context.facts.set_depths(Some(depths));
        tokio::time::sleep(COUNT_INTERVAL).await;
    }
}

/// Ends the counts with the task: another replica tells them from then on.
struct Forget(Arc<Context>);

impl Drop for Forget {
    fn drop(&mut self) {
        let metrics = &self.0.metrics;
        metrics.lane_waiting.reset();
        metrics.intake_waiting.reset();
        metrics.dead_letters_waiting.reset();
        self.0.facts.set_depths(None);
    }
}

fn show(context: &Context, depths: &QueueDepths) {
    let metrics = &context.metrics;
    for (vec, depth) in
        [(&metrics.intake_waiting, depths.intake), (&metrics.dead_letters_waiting, depths.dead_letters)]
    {
        match depth {
            Some(depth) => vec.with_label_values::<&str>(&[]).set(i64::from(depth)),
            None => vec.reset(),
        }
    }
    for account in context.lanes().inlets.values().map(|inlet| &*inlet.account) {
        match depths.lanes.get(account) {
            Some(depth) => metrics.lane_waiting.with_label_values(&[account]).set(i64::from(*depth)),
            // There is none to remove, mostly.
            None => metrics.lane_waiting.remove_label_values(&[account]).unwrap_or_default(),
        }
    }
}

async fn depths(connection: &Connection, context: &Context) -> QueueDepths {
    let names = &context.names;
    let mut counter = Counter { connection, channel: None };
    let intake = counter.depth(names.intake()).await;
    let dead_letters = counter.depth(&names.dead()).await;
    let mut lanes: BTreeMap<AccountName, u32> = BTreeMap::new();
    let lane_set = context.lanes();
    for inlet in lane_set.inlets.values() {
        if let Some(depth) = counter.depth(&names.lane(&inlet.account)).await {
            lanes.insert(inlet.account.clone(), depth);
        }
        tokio::time::sleep(COUNT_PAUSE).await;
    }
    if let Some(channel) = counter.channel {
        channel::close(&channel).await;
    }
    QueueDepths { at: Timestamp::now(), intake, dead_letters, lanes }
}

struct Counter<'a> {
    connection: &'a Connection,
    channel: Option<Channel>,
}

impl Counter<'_> {
    /// `None` if the queue is not there, may not be asked for, or does not answer in time.
    async fn depth(&mut self, queue: &str) -> Option<u32> {
        let counted = tokio::time::timeout(COUNT_TIMEOUT, async {
            let channel = match self.channel.take() {
                Some(channel) => channel,
                None => self.connection.create_channel().await.ok()?,
            };
            let depth = ask(&channel, queue).await.ok()?.message_count();
            Some((channel, depth))
        });
        // A refusal has closed the channel; of one that does not answer nothing more is asked.
        let (channel, depth) = counted.await.ok()??;
        self.channel = Some(channel);
        Some(depth)
    }
}
