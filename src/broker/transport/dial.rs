//! Connects a socket to an address: resolves the host's name, tries every IP address behind it, and sets up TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_ok;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::socket::{Socket, alert};
use crate::broker::amqp::address::NodeEndpoint;
use crate::broker::timing::DIAL_STAGGER;
use crate::tls::{ClientFiles, TlsFileError};

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
    #[error("broker.{setting}: {0}", setting = .0.setting)]
    Files(TlsFileError),
    #[error("the files for TLS could not be read; a task panicked, which is a bug")]
    Panicked,
    #[error(
        "it does not answer in TLS: write amqp:// instead of amqps://, or give the port for TLS, mostly 5671"
    )]
    Plain,
    #[error("it closed the connection at the TLS handshake; is this the port for TLS, mostly 5671?")]
    Closed,
    #[error("its certificate is not accepted: {0}; {advice}", advice = advice(.0))]
    Certificate(CertificateError),
    #[error("it asks for a client certificate; set broker.client_certificate and broker.client_key")]
    WantsCertificate,
    #[error(
        "it ended TLS ({0:?}); it may want a client certificate: broker.client_certificate and broker.client_key"
    )]
    MayWantCertificate(AlertDescription),
    #[error(
        "it does not accept the certificate of broker.client_certificate ({0:?}): is it valid today, and does the broker \
         trust its authority (ssl_options.cacertfile)?"
    )]
    OwnCertificate(AlertDescription),
    #[error("it ended TLS: {0:?}")]
    Alert(AlertDescription),
    #[error("no TLS with it: {0}")]
    Tls(io::Error),
}

/// Connects to the first IP address that answers.
pub(super) async fn dial(endpoint: &NodeEndpoint, tls: &Arc<ClientFiles>) -> Result<Socket, DialError> {
    let socket = tokio::time::timeout(endpoint.timeout, connect(endpoint))
        .await
        .map_err(|_| DialError::Late(endpoint.timeout))??;
    socket.set_nodelay(true).map_err(DialError::Connect)?;
    if !endpoint.tls {
        return Ok(Socket::Plain(socket));
    }
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| DialError::NoServerName)?;
    // Certificates are replaced now and then, and the files may be on a network.
    let files = tls.clone();
    let client = tokio::task::spawn_blocking(move || files.client()).await;
    let client = client.map_err(|_| DialError::Panicked)?.map_err(DialError::Files)?;
    let secured = TlsConnector::from(client).connect(name, socket).await;
    let secured = secured.map_err(|error| why_no_tls(error, tls))?;
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

impl DialError {
    /// What an alert of the peer means.
    pub(super) fn refused(alert: AlertDescription, tls: &ClientFiles) -> Self {
        match (alert, &tls.identity) {
            (AlertDescription::CertificateRequired, _) => Self::WantsCertificate,
            (
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::HandshakeFailure,
                Some(_),
            ) => Self::OwnCertificate(alert),
            (AlertDescription::HandshakeFailure | AlertDescription::BadCertificate, None) => {
                Self::MayWantCertificate(alert)
            }
            (other, _) => Self::Alert(other),
        }
    }
}

/// What to do about a broker's certificate.
fn advice(error: &CertificateError) -> &'static str {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    if *error == CertificateError::UnknownIssuer {
        "name a file with the certificate of the authority that signed it in broker.ca_file"
    } else if matches!(error, NotValidForName | NotValidForNameContext { .. }) {
        "broker.url needs the name that the certificate is for"
    } else if matches!(error, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) {
        "is the clock of this machine right? Else the broker needs a new one"
    } else {
        "the broker needs another one"
    }
}

fn why_no_tls(error: io::Error, files: &ClientFiles) -> DialError {
    if let Some(alert) = alert(&error) {
        return DialError::refused(alert, files);
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => DialError::Plain,
        Some(rustls::Error::InvalidCertificate(error)) => DialError::Certificate(error.clone()),
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
