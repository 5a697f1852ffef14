//! The connections of a session: some consume, some publish. Mostly one of each.
//!
//! A broker in an alarm stops reading from connections that publish, and the client library writes nothing on a
//! connection that is blocked. On one connection the acknowledgements, which would free what the alarm is about,
//! could not leave either.
//!
//! A connection has a limited number of channels, and every lane takes one of each kind: so many lanes take more
//! connections.

use std::time::Duration;

use futures_util::stream::SelectAll;
use lapin::options::{BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, Event, PublisherConfirm};
use tokio::sync::watch;
use tokio::time::Instant;

use super::address::Address;
use super::session::{Broken, connect};
use super::topology::short;
use crate::delivery::Lease;

const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Channels of each connection that are not for lanes: declaring, routing, the pulse.
const SPARE_CHANNELS: usize = 32;

/// All connections; the session ends when one does.
pub(super) struct Lifeline {
    consuming: Vec<Connection>,
    /// When each of them last showed that it is there.
    shown: Vec<watch::Sender<Instant>>,
    publishing: Vec<Connection>,
    /// Lanes to a connection.
    share: usize,
}

/// What one lane has of a lifeline.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// For deliveries and acknowledgements.
    pub(super) consuming: &'a Connection,
    publishing: &'a Connection,
    shown: &'a watch::Sender<Instant>,
}

/// What befell a connection.
pub(super) enum Fate {
    Consuming(Event),
    Publishing(Event),
}

impl Lifeline {
    /// Connects as often as so many lanes need.
    pub(super) async fn connect(address: &Address, replica: &str, lanes: usize) -> Result<Self, Broken> {
        let consuming = connect(address, replica).await?;
        let share = share(consuming.configuration().channel_max());
        let publishing = connect(address, &format!("{replica}, publishing")).await?;
        let shown = vec![watch::Sender::new(Instant::now())];
        let mut lifeline = Self { consuming: vec![consuming], shown, publishing: vec![publishing], share };
        while lifeline.consuming.len() * share < lanes {
            lifeline.consuming.push(connect(address, replica).await?);
            lifeline.shown.push(watch::Sender::new(Instant::now()));
            lifeline.publishing.push(connect(address, &format!("{replica}, publishing")).await?);
        }
        Ok(lifeline)
    }

    /// Whether all hold.
    pub(super) fn connected(&self) -> bool {
        self.consuming.iter().chain(&self.publishing).all(|connection| connection.status().connected())
    }

    /// What the lane with this number works with.
    pub(super) fn line(&self, lane: usize) -> Result<Line<'_>, Broken> {
        let number = lane / self.share;
        let all = (self.consuming.get(number), self.publishing.get(number), self.shown.get(number));
        let (Some(consuming), Some(publishing), Some(shown)) = all else { return Err(Broken::Closed) };
        Ok(Line { consuming, publishing, shown })
    }

    /// What happens to the connections.
    pub(super) fn fates(&self) -> impl futures_util::Stream<Item = Fate> + Send + use<> {
        use futures_util::StreamExt as _;
        let mut fates = SelectAll::new();
        for connection in &self.consuming {
            fates.push(connection.events_listener().map(Fate::Consuming).boxed());
        }
        for connection in &self.publishing {
            fates.push(connection.events_listener().map(Fate::Publishing).boxed());
        }
        fates
    }

    /// Returns only when a consuming connection has not answered for [`silence`].
    ///
    /// Heartbeats would find that out, too, but not before the broker does, which then gives the lanes away while
    /// this replica still works them. Publishing connections are not asked: an alarm keeps them from answering.
    pub(super) async fn silent(&self) -> Broken {
        let asked = self.consuming.iter().zip(&self.shown);
        let asked = asked.map(|(connection, shown)| Box::pin(ask_until_silent(connection, shown)));
        futures_util::future::select_all(asked).await.0
    }

    /// Says good-bye, but does not wait for a peer that may be gone.
    pub(super) async fn close(&self) {
        let all = self.publishing.iter().chain(&self.consuming);
        let closing = all.map(async |connection| {
            let closed = tokio::time::timeout(CLOSE_TIMEOUT, connection.close(200, "done".into())).await;
            if !matches!(closed, Ok(Ok(()))) {
                tracing::debug!("a connection could not be closed in time");
            }
        });
        futures_util::future::join_all(closing).await;
    }
}

impl Line<'_> {
    /// A channel whose publishes are confirmed.
    pub(super) async fn publisher(&self) -> lapin::Result<Channel> {
        let channel = self.publishing.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    /// Holds while the consuming connection is known to be there; until shortly before the broker may give up this
    /// client.
    pub(super) fn lease(&self) -> Lease {
        let term = heartbeat(self.consuming) * 3 / 4;
        Lease::new(self.shown.subscribe(), term)
    }

    /// Whether both connections hold.
    pub(super) fn connected(&self) -> bool {
        self.consuming.status().connected() && self.publishing.status().connected()
    }
}

/// Publishes one message that must reach a queue.
pub(super) async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish(short(exchange), short(key), options, body, properties).await
}

/// Lanes to a connection that takes so many channels; 0 stands for no limit.
fn share(channel_max: u16) -> usize {
    let channels = if channel_max == 0 { usize::from(u16::MAX) } else { usize::from(channel_max) };
    channels.saturating_sub(SPARE_CHANNELS).max(1)
}

/// The broker gives up a client that was silent for this long, at the earliest.
fn heartbeat(connection: &Connection) -> Duration {
    match connection.configuration().heartbeat() {
        0 => Duration::from_mins(1),
        seconds => Duration::from_secs(seconds.into()),
    }
}

/// How long a connection may leave a question unanswered. The calls that are on their way then need some of the rest
/// of the heartbeat. A short heartbeat is left to itself: the lease is over in time all the same.
fn silence(heartbeat: Duration) -> Duration {
    (heartbeat / 2).clamp(Duration::from_secs(5), Duration::from_secs(10))
}

async fn ask_until_silent(connection: &Connection, shown: &watch::Sender<Instant>) -> Broken {
    let heartbeat = heartbeat(connection);
    let silence = silence(heartbeat);
    let mut channel = None;
    loop {
        let begun = Instant::now();
        let asked = async {
            let channel = match &channel {
                Some(channel) => channel,
                None => channel.insert(connection.create_channel().await?),
            };
            // Something that is answered and changes nothing.
            channel.basic_qos(1, BasicQosOptions::default()).await
        };
        match tokio::time::timeout(silence, asked).await {
            // It was there at some time since then.
            Ok(Ok(())) => drop(shown.send_replace(begun)),
            Ok(Err(error)) => return error.into(),
            Err(_) => return Broken::Silent(silence),
        }
        tokio::time::sleep(heartbeat / 8).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_as_many_lanes_as_it_has_channels_to_spare() {
        assert_eq!(share(2047), 2015);
        assert_eq!(share(40), 8);
        assert_eq!(share(3), 1);
        assert_eq!(share(0), 65_503);
    }

    #[test]
    fn silence_is_noticed_before_the_broker_notices_it() {
        for heartbeat in [20, 60, 300].map(Duration::from_secs) {
            assert!(silence(heartbeat) + heartbeat / 8 < heartbeat);
        }
    }
}
