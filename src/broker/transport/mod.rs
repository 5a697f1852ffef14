//! The stream between the client library and the broker's socket.
//!
//! It connects with a deadline, does TLS, and repairs what the library would end a connection for. It owns the socket: when
//! it is dropped, socket and thread end, whatever the peer does. It changes no length, and nothing that the library can
//! read. Must not know queues. Its callers see a connection of the client library.

mod deliveries;
mod dial;
mod error;
mod frames;
mod greeting;
mod inbox;
mod peer;
mod runtime;
mod socket;
mod stream;
#[cfg(test)]
pub(super) mod tests;

use std::io;
use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use tokio_util::sync::DropGuard;

pub(super) use deliveries::filter::{DeliveryFilter, Fingerprint, Kept, Rule};
pub(super) use deliveries::recent::{RecentDeliveries, RecentDelivery};
pub use error::ConnectStep;
pub(super) use error::{ConnectError, hint};
pub(super) use greeting::ServerProperties;

use crate::broker::amqp::address::{Address, NodeEndpoint};
use dial::DialError;
use stream::{AmqpStream, SharedState};

/// A connection of the client library over this transport.
///
/// Ends at once when it is dropped. Close it first where something may still be on its way.
#[derive(Debug)]
pub(super) struct Connected {
    connection: Connection,
    shared: Arc<SharedState>,
    _ended: DropGuard,
}

impl Connected {
    /// The largest frame that both sides take, in bytes.
    pub(super) fn frame_max(&self) -> usize {
        self.shared.frame_max.load(Ordering::Relaxed)
    }

    pub(super) fn properties(&self) -> ServerProperties {
        self.shared.properties.get().cloned().unwrap_or_default()
    }

    /// The broker's certificate, in DER, where there is TLS.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        self.shared.certificate.get().map(Vec::as_slice)
    }

    /// Ends the connection at once when it is dropped. Drop it before the consumers, which would cancel themselves.
    pub(super) fn end_on_drop(&self) -> DropGuard {
        self.shared.ended.clone().drop_guard()
    }

    /// Outlives the connection, so that one that ended can be looked into.
    pub(super) fn recent(&self) -> &Arc<RecentDeliveries> {
        &self.shared.recent
    }
}

impl Deref for Connected {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// Connects, or gives up after one and a half times the address's `connection_timeout`.
pub(super) async fn connect(address: &Address, name: &str) -> Result<Connected, ConnectError> {
    connect_with(address, name, SharedState::default()).await
}

/// Connects with a filter for the deliveries.
pub(super) async fn connect_filtered(
    address: &Address,
    name: &str,
    filter: Arc<DeliveryFilter>,
) -> Result<Connected, ConnectError> {
    connect_with(address, name, SharedState::with(filter)).await
}

async fn connect_with(address: &Address, name: &str, shared: SharedState) -> Result<Connected, ConnectError> {
    let endpoint = address.endpoint().map_err(|_| ConnectError::Address)?;
    let shared = Arc::new(shared);
    // Ends the stream also when this future is dropped.
    let ended = shared.ended.clone().drop_guard();
    let time = endpoint.timeout * 3 / 2;
    let connection = tokio::time::timeout(time, open(address, &endpoint, name, shared.clone()))
        .await
        .map_err(|_| ConnectError::NotReady(time))??;
    Ok(Connected { connection, shared, _ended: ended })
}

async fn open(
    address: &Address,
    endpoint: &NodeEndpoint,
    name: &str,
    shared: Arc<SharedState>,
) -> Result<Connection, ConnectError> {
    let uri = address.uri().map_err(|_| ConnectError::Address)?;
    let socket = dial::dial(endpoint, address.tls()).await?;
    if let Some(certificate) = socket.certificate() {
        shared.certificate.get_or_init(|| certificate);
    }
    let transport = Mutex::new(Some(AmqpStream::new(socket, endpoint.frame_max, shared.clone())));
    let hand_over = async move |_, _| {
        // Only once: the library must not reconnect by itself. The session does, and tries all nodes.
        let transport = transport.lock().unwrap_or_else(PoisonError::into_inner).take();
        let transport =
            transport.ok_or_else(|| lapin::Error::from(io::Error::from(io::ErrorKind::NotConnected)))?;
        Ok(AsyncTcpStream::Plain(transport))
    };
    let properties = ConnectionProperties::default().with_connection_name(format!("freshet {name}").into());
    Connection::connector(uri, runtime::current(), hand_over, properties).await.map_err(|error| {
        match (shared.not_amqp(), shared.tls_alert()) {
            (_, Some(alert)) => DialError::refused(alert, address.tls()).into(),
            (Some(not_amqp), None) => ConnectError::NotAmqp(not_amqp),
            (None, None) => error.into(),
        }
    })
}
