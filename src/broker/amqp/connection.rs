//! The connections of a session: some consume, some publish. Mostly one of each.
//!
//! A broker in an alarm stops reading from connections that publish, and the client library writes nothing on a
//! connection that is blocked. On one connection the acknowledgements, which would free what the alarm is about,
//! could not leave either.
//!
//! A connection has a limited number of channels, and every lane takes one of each kind: so many lanes take more
//! connections.

use std::ops::Range;
use std::time::Duration;

use futures_util::stream::SelectAll;
use futures_util::{Stream, StreamExt as _};
use lapin::options::BasicQosOptions;
use lapin::{Channel, Connection, Event};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::addresses::Address;
use super::channel::publisher;
use crate::broker::error::BrokerError;
use crate::broker::timing::{
    APART_CONNECTION_CHECK, CLOSE_REASON_WAIT, CLOSE_TIMEOUT, LEAST_CHANNELS, SPARE_CHANNELS,
    WITHOUT_HEARTBEAT, lease_term, liveness_interval, unresponsive_after,
};
use crate::broker::transport;
use crate::broker::transport::{Connected, SeenDelivery};
use crate::delivery::Lease;

/// All connections, in pairs; the session ends when one does.
pub(in crate::broker) struct ConnectionPool {
    lines: Vec<ConnectionPair>,
    /// Lanes to a line.
    share: usize,
}

/// A pair of connections, and what some lanes have of a lifeline.
pub(in crate::broker) struct ConnectionPair {
    /// For deliveries and acknowledgements.
    pub(in crate::broker) consuming: Connected,
    publishing: Connected,
    /// When the consuming one last showed that it is there.
    shown: watch::Sender<Instant>,
}

/// What befell a connection.
pub(in crate::broker) enum ConnectionEvent {
    Consuming(Event),
    Publishing(Event),
}

impl ConnectionPool {
    /// Connects as often as so many lanes need.
    pub(in crate::broker) async fn connect(
        address: &Address,
        replica: &str,
        lanes: usize,
    ) -> Result<Self, BrokerError> {
        let first = ConnectionPair::connect(address, replica).await?;
        let channels = first.consuming.configuration().channel_max();
        if channels < LEAST_CHANNELS {
            return Err(BrokerError::TooFewChannels { allowed: channels, needed: LEAST_CHANNELS });
        }
        let share = share(channels);
        let mut pool = Self { lines: vec![first], share };
        while pool.lines.len() * share < lanes {
            pool.lines.push(ConnectionPair::connect(address, replica).await?);
        }
        Ok(pool)
    }

    /// Whether all hold.
    pub(in crate::broker) fn connected(&self) -> bool {
        self.lines.iter().all(ConnectionPair::connected)
    }

    /// What the lane with this number works with.
    pub(in crate::broker) fn pair(&self, lane: usize) -> Result<&ConnectionPair, BrokerError> {
        self.lines.get(lane / self.share).ok_or(BrokerError::Closed)
    }

    /// The lines whose consuming connection is gone: which lanes they are for, and what was read last, if all of that is
    /// known.
    pub(in crate::broker) fn lost(&self) -> impl Iterator<Item = (Range<usize>, Option<Vec<SeenDelivery>>)> {
        let gone = self.lines.iter().enumerate().filter(|(_, pair)| !pair.consuming.status().connected());
        gone.map(|(number, pair)| {
            let seen = pair.consuming.seen();
            let read = (!seen.is_full()).then(|| seen.recent_deliveries());
            (number * self.share..(number + 1) * self.share, read)
        })
    }

    /// Returns when a connection is gone.
    pub(in crate::broker) async fn until_disconnected(&self) {
        while self.connected() {
            tokio::time::sleep(APART_CONNECTION_CHECK).await;
        }
    }

    /// Why a connection is gone, as far as it comes to be known.
    pub(in crate::broker) async fn cause(
        &self,
        events: &mut (impl Stream<Item = ConnectionEvent> + Unpin),
    ) -> BrokerError {
        let told = async {
            while let Some(event) = events.next().await {
                if let ConnectionEvent::Consuming(Event::Error(error))
                | ConnectionEvent::Publishing(Event::Error(error)) = event
                {
                    return error.into();
                }
            }
            BrokerError::Closed
        };
        tokio::time::timeout(CLOSE_REASON_WAIT, told).await.unwrap_or(BrokerError::Closed)
    }

    /// What happens to the connections.
    pub(in crate::broker) fn events(
        &self,
    ) -> impl futures_util::Stream<Item = ConnectionEvent> + Send + use<> {
        let mut events = SelectAll::new();
        for pair in &self.lines {
            events.push(pair.consuming.events_listener().map(ConnectionEvent::Consuming).boxed());
            events.push(pair.publishing.events_listener().map(ConnectionEvent::Publishing).boxed());
        }
        events
    }

    /// Returns only when a consuming connection has not answered for [`unresponsive_after`].
    ///
    /// Heartbeats would find that out, too, but not before the broker does, which then gives the lanes away while
    /// this replica still works them. Publishing connections are not asked: an alarm keeps them from answering.
    pub(in crate::broker) async fn until_unresponsive(&self) -> BrokerError {
        let asked = self.lines.iter().map(|pair| Box::pin(ask_until_silent(pair)));
        futures_util::future::select_all(asked).await.0
    }

    /// Ends all connections at once when it is dropped: before consumers are, which would cancel themselves.
    pub(in crate::broker) fn end_on_drop(&self) -> Vec<DropGuard> {
        self.lines
            .iter()
            .flat_map(|pair| [pair.consuming.end_on_drop(), pair.publishing.end_on_drop()])
            .collect()
    }

    /// Says good-bye, but does not wait for a peer that may be gone.
    pub(in crate::broker) async fn close(&self) {
        let all = self.lines.iter().flat_map(|pair| [&pair.publishing, &pair.consuming]);
        let closing = all.map(async |connection| {
            let closed = tokio::time::timeout(CLOSE_TIMEOUT, connection.close(200, "done".into())).await;
            if !matches!(closed, Ok(Ok(()))) {
                tracing::debug!("a connection could not be closed in time");
            }
        });
        futures_util::future::join_all(closing).await;
    }
}

impl ConnectionPair {
    async fn connect(address: &Address, replica: &str) -> Result<Self, BrokerError> {
        let consuming = transport::connect(address, replica).await?;
        let shown = watch::Sender::new(Instant::now());
        let publishing = transport::connect(address, &format!("{replica}, publishing")).await?;
        Ok(Self { consuming, publishing, shown })
    }

    /// A channel whose publishes are confirmed.
    pub(in crate::broker) async fn publisher(&self) -> lapin::Result<Channel> {
        publisher(&self.publishing).await
    }

    /// Holds while the consuming connection is known to be there; until shortly before the broker may give up this
    /// client.
    pub(in crate::broker) fn lease(&self) -> Lease {
        let term = lease_term(heartbeat(&self.consuming));
        Lease::new(self.shown.subscribe(), term)
    }

    /// The largest frame that can be published.
    pub(in crate::broker) fn frame_max(&self) -> usize {
        self.publishing.frame_max()
    }

    /// Whether both connections hold.
    pub(in crate::broker) fn connected(&self) -> bool {
        self.consuming.status().connected() && self.publishing.status().connected()
    }
}

/// Lanes to a connection that takes so many channels.
fn share(channel_max: u16) -> usize {
    usize::from(channel_max).saturating_sub(usize::from(SPARE_CHANNELS)).max(1)
}

/// The broker gives up a client that was silent for this long, at the earliest.
fn heartbeat(connection: &Connection) -> Duration {
    match connection.configuration().heartbeat() {
        0 => WITHOUT_HEARTBEAT,
        seconds => Duration::from_secs(seconds.into()),
    }
}

async fn ask_until_silent(ConnectionPair { consuming, shown, .. }: &ConnectionPair) -> BrokerError {
    let heartbeat = heartbeat(consuming);
    let silence = unresponsive_after(heartbeat);
    let mut channel = None;
    loop {
        let begun = Instant::now();
        let asked = async {
            let channel = match &channel {
                Some(channel) => channel,
                None => channel.insert(consuming.create_channel().await?),
            };
            // Something that is answered and changes nothing.
            channel.basic_qos(1, BasicQosOptions::default()).await
        };
        match tokio::time::timeout(silence, asked).await {
            // It was there at some time since then.
            Ok(Ok(())) => drop(shown.send_replace(begun)),
            Ok(Err(error)) => return error.into(),
            Err(_) => return BrokerError::Unresponsive(silence),
        }
        tokio::time::sleep(liveness_interval(heartbeat)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_as_many_lanes_as_it_has_channels_to_spare() {
        assert_eq!(share(2047), 2015);
        assert_eq!(share(40), 8);
        assert_eq!(share(LEAST_CHANNELS), 1);
        assert_eq!(share(u16::MAX), 65_503);
    }
}
