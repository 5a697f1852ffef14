//! Connects a socket to an address: resolves the host's name, tries every IP address behind it, and sets up TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::select_ok;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::socket::Socket;
use crate::broker::amqp::address::NodeEndpoint;
use crate::broker::timing::DIAL_STAGGER;

#[derive(Debug, thiserror::Error)]
pub(in crate::broker) enum DialError {
    #[error("the host's name cannot be resolved: {0}")]
    Name(io::Error),
    #[error("the host's name stands for no address")]
    NoAddress,
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("no connection within {} s", .0.as_secs_f32())]
    Late(Duration),
    #[error("the host is no name that a certificate can be for")]
    NoServerName,
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
    #[error(
        "it does not answer in TLS: write amqp:// instead of amqps://, or give the port for TLS, mostly 5671"
    )]
    Plain,
    #[error("it closed the connection at the TLS handshake; is this the port for TLS, mostly 5671?")]
    Closed,
    #[error("its certificate is not accepted: {0}; the system must trust the authority that signed it")]
    Certificate(rustls::Error),
    #[error("no TLS with it: {0}")]
    Tls(io::Error),
}

/// Connects to the first IP address that answers.
pub(super) async fn dial(endpoint: &NodeEndpoint) -> Result<Socket, DialError> {
    let socket = tokio::time::timeout(endpoint.timeout, connect(endpoint))
        .await
        .map_err(|_| DialError::Late(endpoint.timeout))??;
    socket.set_nodelay(true).map_err(DialError::Connect)?;
    if !endpoint.tls {
        return Ok(Socket::Plain(socket));
    }
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| DialError::NoServerName)?;
    let client = crate::tls::client().map_err(DialError::Setup)?;
    let secured = TlsConnector::from(client).connect(name, socket).await.map_err(why_no_tls)?;
    Ok(Socket::Tls(Box::new(secured)))
}

async fn connect(endpoint: &NodeEndpoint) -> Result<TcpStream, DialError> {
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    connect_to_any(found.map_err(DialError::Name)?.collect()).await
}

/// Starts the attempts one after another: an IP address at which nobody answers must not use up the time.
async fn connect_to_any(addresses: Vec<SocketAddr>) -> Result<TcpStream, DialError> {
    if addresses.is_empty() {
        return Err(DialError::NoAddress);
    }
    let attempts = addresses.into_iter().zip(0..).map(|(address, before)| {
        Box::pin(async move {
            tokio::time::sleep(DIAL_STAGGER * before).await;
            TcpStream::connect(address).await
        })
    });
    select_ok(attempts).await.map(|(socket, _)| socket).map_err(DialError::Connect)
}

fn why_no_tls(error: io::Error) -> DialError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => DialError::Plain,
        Some(certificate @ rustls::Error::InvalidCertificate(_)) => {
            DialError::Certificate(certificate.clone())
        }
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            DialError::Closed
        }
        Some(_) | None => DialError::Tls(error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn of_several_addresses_one_that_answers_is_enough() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for addresses in [vec![open], vec![closed, open], vec![open, closed]] {
            let socket = connect_to_any(addresses).await.unwrap();
            assert_eq!(socket.peer_addr().unwrap(), open);
        }
        assert!(matches!(connect_to_any(vec![closed]).await, Err(DialError::Connect(_))));
        assert!(matches!(connect_to_any(Vec::new()).await, Err(DialError::NoAddress)));
    }
}
