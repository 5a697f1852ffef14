//! The connections of a session, in pairs: one consumes, one publishes. Mostly one pair.
//!
//! A broker in an alarm stops reading from connections that publish, and the client library writes nothing on a
//! connection that is blocked. On one connection the acknowledgements could not leave either, and they would free what
//! the alarm is about.
//!
//! A connection has a limited number of channels, and every lane takes one of each connection: many lanes take several
//! pairs. Must not know what is consumed or published. Held by the session, and by the quarantine for queues apart.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::SelectAll;
use futures_util::{Stream, StreamExt as _};
use lapin::options::BasicQosOptions;
use lapin::{Channel, Connection, Event};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::address::Address;
use super::channel::publisher;
use crate::broker::error::BrokerError;
use crate::broker::timing::{
    APART_CONNECTION_CHECK, CLOSE_REASON_WAIT, CLOSE_TIMEOUT, LEAST_CHANNELS, OWN_PUBLISH_CHANNELS,
    SPARE_CHANNELS, WITHOUT_HEARTBEAT, lease_term, liveness_interval, unresponsive_after,
};
use crate::broker::transport;
use crate::broker::transport::{Connected, RecentDelivery};
use crate::delivery::Lease;

/// All connections. The session ends when one of them does.
pub(in crate::broker) struct ConnectionPool {
    pairs: Vec<ConnectionPair>,
    lanes_per_pair: usize,
}

pub(in crate::broker) struct ConnectionPair {
    /// For deliveries and acknowledgements.
    pub(in crate::broker) consuming: Connected,
    publishing: Connected,
    /// When the consuming connection last answered. The lanes' leases hang on it.
    answered_at: watch::Sender<Instant>,
}

/// What the client library reports of one of them.
pub(in crate::broker) enum ConnectionEvent {
    Consuming(Event),
    Publishing(Event),
}

impl ConnectionPool {
    /// Makes as many pairs as so many lanes need.
    pub(in crate::broker) async fn connect(
        address: &Address,
        replica: &str,
        lanes: usize,
    ) -> Result<Self, BrokerError> {
        let first = ConnectionPair::connect(address, replica).await?;
        let lanes_per_pair = lanes_per_pair(first.consuming.configuration().channel_max());
        let mut pool = Self { pairs: vec![first], lanes_per_pair };
        while pool.pairs.len() * pool.lanes_per_pair < lanes {
            pool.pairs.push(ConnectionPair::connect(address, replica).await?);
        }
        Ok(pool)
    }

    /// One pair for whichever lane is consumed on it.
    pub(in crate::broker) async fn connect_one_pair(
        address: &Address,
        name: &str,
    ) -> Result<Self, BrokerError> {
        let pair = ConnectionPair::connect(address, name).await?;
        Ok(Self { pairs: vec![pair], lanes_per_pair: usize::MAX })
    }

    /// Whether all hold.
    pub(in crate::broker) fn connected(&self) -> bool {
        self.pairs.iter().all(ConnectionPair::connected)
    }

    /// What the lane with this number works with. The intake and the probes work with the first one.
    pub(in crate::broker) fn pair(&self, lane: usize) -> Result<&ConnectionPair, BrokerError> {
        self.pairs.get(self.pair_of(lane)).ok_or(BrokerError::Closed)
    }

    pub(in crate::broker) fn pair_of(&self, lane: usize) -> usize {
        lane % self.pairs.len().max(1)
    }

    /// Whether a lane's pair has a channel for it beside those of the lanes that are `consumed`.
    pub(in crate::broker) fn has_room(&self, lane: usize, consumed: &BTreeSet<usize>) -> bool {
        let pair = self.pair_of(lane);
        consumed.iter().filter(|other| self.pair_of(**other) == pair).count() < self.lanes_per_pair
    }

    /// The pairs whose consuming connection is lost, by number, and what was read last, if all of that is known.
    pub(in crate::broker) fn lost(&self) -> impl Iterator<Item = (usize, Option<Vec<RecentDelivery>>)> {
        let lost = self.pairs.iter().enumerate().filter(|(_, pair)| !pair.consuming.status().connected());
        lost.map(|(number, pair)| {
            let recent = pair.consuming.recent();
            (number, (!recent.is_full()).then(|| recent.since_last_wait()))
        })
    }

    pub(in crate::broker) async fn until_disconnected(&self) {
        while self.connected() {
            tokio::time::sleep(APART_CONNECTION_CHECK).await;
        }
    }

    /// Why a connection is lost, if the reason comes soon.
    pub(in crate::broker) async fn cause(
        &self,
        events: &mut (impl Stream<Item = ConnectionEvent> + Unpin),
    ) -> BrokerError {
        let reason = async {
            while let Some(event) = events.next().await {
                if let ConnectionEvent::Consuming(Event::Error(error))
                | ConnectionEvent::Publishing(Event::Error(error)) = event
                {
                    return error.into();
                }
            }
            BrokerError::Closed
        };
        tokio::time::timeout(CLOSE_REASON_WAIT, reason).await.unwrap_or(BrokerError::Closed)
    }

    pub(in crate::broker) fn events(&self) -> impl Stream<Item = ConnectionEvent> + Send + use<> {
        let mut events = SelectAll::new();
        for pair in &self.pairs {
            events.push(pair.consuming.events_listener().map(ConnectionEvent::Consuming).boxed());
            events.push(pair.publishing.events_listener().map(ConnectionEvent::Publishing).boxed());
        }
        events
    }

    /// Returns only when a consuming connection has not answered for [`unresponsive_after`], or cannot be asked.
    ///
    /// Heartbeats would show that, too, but not before the broker notices, which then gives the lanes away while this
    /// replica still works them. Publishing connections are not asked: an alarm keeps them from answering.
    pub(in crate::broker) async fn until_unresponsive(&self) -> BrokerError {
        let asked = self.pairs.iter().map(|pair| Box::pin(pair.until_unresponsive()));
        futures_util::future::select_all(asked).await.0
    }

    /// Ends all connections at once when it is dropped. Drop it before the consumers, which would cancel themselves.
    pub(in crate::broker) fn end_on_drop(&self) -> Vec<DropGuard> {
        let all = self.pairs.iter().flat_map(|pair| [&pair.consuming, &pair.publishing]);
        all.map(Connected::end_on_drop).collect()
    }

    /// Closes them in good order, but does not wait for a peer that may be gone.
    pub(in crate::broker) async fn close(&self) {
        let all = self.pairs.iter().flat_map(|pair| [&pair.publishing, &pair.consuming]);
        futures_util::future::join_all(all.map(|connection| close(connection))).await;
    }
}

impl ConnectionPair {
    async fn connect(address: &Address, name: &str) -> Result<Self, BrokerError> {
        let consuming = transport::connect(address, name).await?;
        let channels = consuming.configuration().channel_max();
        if channels < LEAST_CHANNELS {
            return Err(BrokerError::TooFewChannels { allowed: channels, needed: LEAST_CHANNELS });
        }
        let answered_at = watch::Sender::new(Instant::now());
        let publishing = transport::connect(address, &format!("{name}, publishing")).await?;
        Ok(Self { consuming, publishing, answered_at })
    }

    /// A channel of the publishing connection whose publishes are confirmed.
    pub(in crate::broker) async fn publisher(&self) -> lapin::Result<Channel> {
        publisher(&self.publishing).await
    }

    /// How many more such channels than one there are for the router.
    pub(in crate::broker) fn spare_publishers(&self) -> usize {
        let enough = self.publishing.configuration().channel_max() > SPARE_CHANNELS;
        if enough { OWN_PUBLISH_CHANNELS } else { 0 }
    }

    /// Holds while the consuming connection answers, and ends shortly before the broker may give up this client.
    pub(in crate::broker) fn lease(&self) -> Lease {
        Lease::new(self.answered_at.subscribe(), lease_term(heartbeat(&self.consuming)))
    }

    /// The largest frame that can be published, in bytes.
    pub(in crate::broker) fn frame_max(&self) -> usize {
        self.publishing.frame_max()
    }

    /// Whether both connections hold.
    pub(in crate::broker) fn connected(&self) -> bool {
        self.consuming.status().connected() && self.publishing.status().connected()
    }

    async fn until_unresponsive(&self) -> BrokerError {
        let heartbeat = heartbeat(&self.consuming);
        let limit = unresponsive_after(heartbeat);
        let mut channel = None;
        loop {
            let asked_at = Instant::now();
            let asked = async {
                let channel = match &channel {
                    Some(channel) => channel,
                    None => channel.insert(self.consuming.create_channel().await?),
                };
                // A question that is answered and changes nothing.
                channel.basic_qos(1, BasicQosOptions::default()).await
            };
            match tokio::time::timeout(limit, asked).await {
                // When it answered is not known, only that it was not before it was asked.
                Ok(Ok(())) => drop(self.answered_at.send_replace(asked_at)),
                Ok(Err(error)) => return error.into(),
                Err(_) => return BrokerError::Unresponsive(limit),
            }
            tokio::time::sleep(liveness_interval(heartbeat)).await;
        }
    }
}

/// Closes a connection in good order, but does not wait for a peer that may be gone.
pub(in crate::broker) async fn close(connection: &Connection) {
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, connection.close(200, "done".into())).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::debug!("a connection could not be closed in time");
    }
}

fn lanes_per_pair(channel_max: u16) -> usize {
    usize::from(channel_max.saturating_sub(SPARE_CHANNELS).max(1))
}

/// The broker gives up a client that was silent for this long, at the earliest.
fn heartbeat(connection: &Connection) -> Duration {
    match connection.configuration().heartbeat() {
        0 => WITHOUT_HEARTBEAT,
        seconds => Duration::from_secs(seconds.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_as_many_lanes_as_it_has_channels_to_spare() {
        assert_eq!(lanes_per_pair(2047), 2015);
        assert_eq!(lanes_per_pair(40), 8);
        assert_eq!(lanes_per_pair(LEAST_CHANNELS), 1);
        assert_eq!(lanes_per_pair(u16::MAX), 65_503);
    }
}
