//! The two connections of a session: one consumes, one publishes.
//!
//! A broker in an alarm stops reading from connections that publish, and the client library writes nothing on a
//! connection that is blocked. On one connection the acknowledgements, which would free what the alarm is about,
//! could not leave either.

use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};

use super::address::Address;
use super::session::{Broken, connect};

const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Both connections; the session ends when either does.
pub(super) struct Lifeline {
    pub(super) consuming: Connection,
    publishing: Connection,
}

impl Lifeline {
    pub(super) async fn connect(address: &Address, replica: &str) -> Result<Self, Broken> {
        let consuming = connect(address, replica).await?;
        let publishing = connect(address, &format!("{replica}, publishing")).await?;
        Ok(Self { consuming, publishing })
    }

    /// Whether both hold.
    pub(super) fn connected(&self) -> bool {
        self.consuming.status().connected() && self.publishing.status().connected()
    }

    /// What happens to the connection that an alarm blocks.
    pub(super) fn publishing_events(&self) -> impl futures_util::Stream<Item = lapin::Event> + Send {
        self.publishing.events_listener()
    }

    /// A channel whose publishes are confirmed.
    pub(super) async fn publisher(&self) -> lapin::Result<Channel> {
        let channel = self.publishing.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    /// Says good-bye, but does not wait for a peer that may be gone.
    pub(super) async fn close(&self) {
        for connection in [&self.publishing, &self.consuming] {
            let closed = tokio::time::timeout(CLOSE_TIMEOUT, connection.close(200, "done".into())).await;
            if !matches!(closed, Ok(Ok(()))) {
                tracing::debug!("a connection could not be closed in time");
            }
        }
    }
}
