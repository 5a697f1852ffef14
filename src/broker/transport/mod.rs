//! The way from the client library to the broker's socket, which is ours.
//!
//! It connects with a deadline, does TLS, and makes readable what the library would end a connection for. It owns the
//! socket: when it is let go, socket and thread go, whatever the peer does. It changes no length, and nothing that can
//! be read as it is. Called by the session and by the publisher; they see a connection of the client library.

mod dial;
mod error;
mod fields;
mod filter;
mod greeting;
mod outgoing;
mod oversize;
mod properties;
mod runtime;
mod seen;
mod stream;
#[cfg(test)]
pub(super) mod tests;
mod walker;

use std::io;
use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use tokio_util::sync::DropGuard;

pub(super) use error::{ConnectError, hint};
pub(super) use filter::{DeliveryFilter, Fingerprint, Kept, Rule};
pub(super) use seen::{Seen, SeenDelivery};

use crate::broker::amqp::addresses::{Address, Endpoint};
use stream::{Shared, Transport};

/// A connection of the client library, and what this side of it knows.
///
/// Let go, it ends at once: close it first where something may still be on its way.
#[derive(Debug)]
pub(super) struct Connected {
    connection: Connection,
    shared: Arc<Shared>,
    _ended: DropGuard,
}

impl Connected {
    /// The largest frame that both sides take.
    pub(super) fn frame_max(&self) -> usize {
        self.shared.frame_max.load(Ordering::Relaxed)
    }

    /// Ends the connection at once when it is dropped: before consumers are, which would cancel themselves.
    pub(super) fn end_on_drop(&self) -> DropGuard {
        self.shared.ended.clone().drop_guard()
    }

    /// What it has brought lately; outlives the connection.
    pub(super) fn seen(&self) -> &Arc<Seen> {
        &self.shared.seen
    }
}

impl Deref for Connected {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// Connects, or gives up after half as long again as the network may take.
pub(super) async fn connect(address: &Address, name: &str) -> Result<Connected, ConnectError> {
    connect_with(address, name, Shared::default()).await
}

/// The same, with a filter for what it delivers.
pub(super) async fn connect_filtered(
    address: &Address,
    name: &str,
    filter: Arc<DeliveryFilter>,
) -> Result<Connected, ConnectError> {
    connect_with(address, name, Shared::with(filter)).await
}

async fn connect_with(address: &Address, name: &str, shared: Shared) -> Result<Connected, ConnectError> {
    let endpoint = address.endpoint().map_err(|_| ConnectError::Address)?;
    let shared = Arc::new(shared);
    // Also when nobody waits for this any more.
    let ended = shared.ended.clone().drop_guard();
    let time = endpoint.timeout * 3 / 2;
    let connection = tokio::time::timeout(time, open(address, &endpoint, name, shared.clone()))
        .await
        .map_err(|_| ConnectError::Mute(time))??;
    Ok(Connected { connection, shared, _ended: ended })
}

async fn open(
    address: &Address,
    endpoint: &Endpoint,
    name: &str,
    shared: Arc<Shared>,
) -> Result<Connection, ConnectError> {
    let uri = address.uri().map_err(|_| ConnectError::Address)?;
    let socket = dial::dial(endpoint).await?;
    let transport = Mutex::new(Some(Transport::new(socket, endpoint.frame_max, shared.clone())));
    let hand_over = async move |_, _| {
        // There is one. The session connects again by itself, and looks at all addresses then.
        let transport = transport.lock().unwrap_or_else(PoisonError::into_inner).take();
        let transport =
            transport.ok_or_else(|| lapin::Error::from(io::Error::from(io::ErrorKind::NotConnected)))?;
        Ok(AsyncTcpStream::Plain(transport))
    };
    let properties = ConnectionProperties::default().with_connection_name(format!("freshet {name}").into());
    Connection::connector(uri, runtime::current(), hand_over, properties)
        .await
        .map_err(|error| shared.stranger().map_or_else(|| error.into(), ConnectError::Stranger))
}
