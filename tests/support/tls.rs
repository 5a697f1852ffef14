//! A TLS server in front of one that speaks plain TCP.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Stands before a server on `localhost`, with a certificate of an authority that nobody knows. Gone when dropped.
#[derive(Debug)]
pub struct TlsFront {
    pub port: u16,
    folder: TempDir,
    _task: JoinSet<()>,
}

impl TlsFront {
    /// `server` is `host:port`.
    pub async fn to(server: &str) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("a key");
        let root = authority.self_signed(&authority_key).expect("a certificate").pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let name = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = name.signed_by(&key, &issuer).expect("a certificate");
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("authority.pem"), root).expect("the authority is written");

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .expect("a certificate and its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = server.to_owned();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                served.spawn(async move {
                    // A client that does not trust it hangs up.
                    let Ok(mut socket) = acceptor.accept(socket).await else { return };
                    let mut behind = TcpStream::connect(server).await.expect("the server listens");
                    _ = copy_bidirectional(&mut socket, &mut behind).await;
                });
            }
        });
        Self { port, folder, _task: task }
    }

    /// The authority's certificate, for clients that should trust it.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }
}
