//! From the intake queue to the lanes, in order, and at the broker's pace.
//!
//! Many publishes are in flight at once; when the broker has confirmed them, a whole prefix of the
//! intake is acknowledged with one frame. A crash in between repeats some events in the lanes, which
//! know their `messageId`s; it loses none.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::directory::ACCOUNT_HEADER;
use super::hunger::Watch;
use super::lifeline::{Line, publish};
use super::link::Stall;
use super::names::dead_letter_key;
use super::session::{Again, Broken, Broker, Declared, subscribe};
use super::topology;
use super::{UNROUTED, dead_letter, republish};
use crate::delays::until;
use crate::delivery::AccountName;
use crate::metrics::AccountMetrics;

/// Publishes in flight; also the intake's prefetch.
const IN_FLIGHT: u16 = 500;

/// So long a confirm may take before it is told.
const PATIENCE: Duration = Duration::from_secs(15);

/// A publish on its way; resolves to what it pays for.
type Routed = Pin<Box<dyn Future<Output = (lapin::Acker, lapin::Result<Confirmation>)> + Send>>;

/// Routes until `stop` (then `Ok`) or until something breaks.
pub(super) async fn serve(
    broker: &Broker,
    line: &Line,
    again: &mut Again,
    stop: &CancellationToken,
    lost: &CancellationToken,
) -> Result<(), Broken> {
    if again.declared == Declared::LongAgo {
        // The lanes, too: they hang on the exchange, which may have been gone.
        broker.declare(line).await?;
    }
    let publisher = line.publisher().await?;
    let intake = broker.names.intake();
    let (channel, mut consumer) =
        subscribe(&line.consuming, intake, &broker.replica, IN_FLIGHT, FieldTable::default()).await?;
    let mut router = Router {
        broker,
        publisher: publisher.clone(),
        unrouted: broker.metrics.account(UNROUTED),
        watch: Watch::new(&mut again.hunger, &line.consuming, intake),
        in_flight: FuturesOrdered::new(),
        since: VecDeque::new(),
    };
    let served = router.run(&mut consumer, stop, lost).await;
    // Another one may route from now on.
    broker.link.stalled(Stall::Lane, None);
    // In this order, and the consumer last, however it ended: see the lanes' consumer.
    topology::close_settled(&channel, served.is_ok()).await;
    drop(consumer);
    topology::close(&publisher).await;
    served
}

fn check(broker: &Broker, confirmed: lapin::Result<Confirmation>) -> Result<(), Broken> {
    match confirmed? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => Err(Broken::NotConfirmed {
            exchange: returned.exchange.to_string(),
            key: returned.routing_key.to_string(),
        }),
        Confirmation::Nack(None) | Confirmation::NotRequested => {
            Err(Broken::NotConfirmed { exchange: broker.names.lanes(), key: "of an account".to_owned() })
        }
    }
}

struct Router<'a> {
    broker: &'a Broker,
    publisher: Channel,
    unrouted: AccountMetrics,
    watch: Watch<'a>,
    in_flight: FuturesOrdered<Routed>,
    /// When each of those in flight was published, and for whom.
    since: VecDeque<(Instant, AccountName)>,
}

impl Router<'_> {
    async fn run(
        &mut self,
        consumer: &mut lapin::Consumer,
        stop: &CancellationToken,
        lost: &CancellationToken,
    ) -> Result<(), Broken> {
        let mut taking = true;
        loop {
            if !taking && self.in_flight.is_empty() {
                return Ok(());
            }
            let late = self.since.front().map(|(since, _)| *since + PATIENCE);
            tokio::select! {
                biased;
                // Before all else: while there is a backlog, the others are always ready. Not cancelled at the
                // broker: another replica would route what is queued ahead of what is held here.
                () = stop.cancelled(), if taking => taking = false,
                Some(routed) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.acknowledge_prefix(routed).await?;
                }
                () = lost.cancelled() => return Err(Broken::Closed),
                message = consumer.next(), if taking && self.in_flight.len() < usize::from(IN_FLIGHT) => {
                    let Some(message) = message else {
                        return Err(Broken::ConsumerCancelled(self.broker.names.intake().to_owned()));
                    };
                    self.watch.fed();
                    // Not given up at a stop: what was published and is not acknowledged would be routed twice.
                    tokio::select! {
                        routed = self.route(message?) => self.in_flight.push_back(routed?),
                        () = lost.cancelled() => return Err(Broken::Closed),
                    }
                }
                () = until(late) => self.tell_late(),
                () = self.watch.forgotten(), if taking && self.in_flight.is_empty() => {
                    return Err(Broken::Forgotten(self.broker.names.intake().to_owned()));
                }
            }
        }
    }

    /// Takes every publish at the front that is confirmed, and acknowledges them all with the last one's tag.
    async fn acknowledge_prefix(
        &mut self,
        first: (lapin::Acker, lapin::Result<Confirmation>),
    ) -> Result<(), Broken> {
        let (mut acker, confirmed) = first;
        check(self.broker, confirmed)?;
        self.since.pop_front();
        while let Some(Some((next, confirmed))) = self.in_flight.next().now_or_never() {
            check(self.broker, confirmed)?;
            self.since.pop_front();
            acker = next;
        }
        self.broker.link.stalled(Stall::Lane, None);
        if acker.ack(BasicAckOptions { multiple: true }).await? {
            Ok(())
        } else {
            Err(Broken::NotAcknowledged)
        }
    }

    /// A lane that takes nothing holds back all that stands behind it on the intake. Where the broker as a whole
    /// takes nothing, that is told already.
    fn tell_late(&mut self) {
        let Some((since, account)) = self.since.front_mut() else { return };
        let link = &self.broker.link;
        if !link.is_stalled(Stall::Blocked) && !link.is_stalled(Stall::Unconfirmed) {
            link.stalled(Stall::Lane, Some(&format!("the lane of {account} confirms nothing")));
        }
        *since += PATIENCE;
    }

    /// Publishes one event to its lane, or to the dead letters.
    async fn route(&mut self, message: Delivery) -> Result<Routed, Broken> {
        let header = republish::header(&message.properties, ACCOUNT_HEADER).map(republish::text);
        let now = Timestamp::now();
        let confirm = match self.broker.directory.find(header, &message.data) {
            Ok(account) => {
                self.since.push_back((Instant::now(), account.clone()));
                let mut properties = republish::for_lane(&message.properties, now);
                if message.redelivered {
                    properties = republish::as_copy(properties);
                }
                publish(&self.publisher, &self.broker.names.lanes(), &account, &message.data, properties)
                    .await?
            }
            Err(refusal) => {
                self.since.push_back((Instant::now(), UNROUTED.into()));
                dead_letter::count(&self.unrouted, UNROUTED, &message.data, &refusal);
                let properties =
                    dead_letter::properties(&message.properties, &refusal, None, &message.data, 0, now);
                let key = dead_letter_key(None, refusal.reason);
                publish(&self.publisher, &self.broker.names.dead(), &key, &message.data, properties).await?
            }
        };
        let acker = message.acker;
        Ok(Box::pin(async move { (acker, confirm.await) }))
    }
}
