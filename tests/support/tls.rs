//! Certificates, and a TLS server in front of one that speaks plain TCP.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// An authority that nobody knows.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub certificate: String,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// `name` tells authorities apart in logs.
    pub fn new(name: &str) -> Self {
        let mut own = CertificateParams::default();
        own.distinguished_name.push(DnType::CommonName, name);
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        own.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = own.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(own, key), certificate }
    }

    /// For a server or a client of that name.
    pub fn issue(&self, name: &str) -> Identity {
        let mut subject = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        subject.distinguished_name.push(DnType::CommonName, name);
        subject.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = subject.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

impl Identity {
    /// Writes `NAME.pem` and `NAME.key`, over what is there.
    pub fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.pem")), &self.certificate)
            .expect("a certificate is written");
        std::fs::write(folder.join(format!("{name}.key")), &self.key).expect("a key is written");
    }
}

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
        let authority = Authority::new("the authority of a front");
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("authority.pem"), &authority.certificate)
            .expect("the authority is written");
        let identity = authority.issue("localhost");
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("a certificate")], key.expect("a key"))
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
