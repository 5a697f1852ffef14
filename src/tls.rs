//! TLS for HTTP and AMQP, both with ring, so that the process holds one implementation. Reads the PEM files that it takes.
//!
//! Knows neither protocol. Called by those who connect, and by the configuration to report files that are of no use.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret as _, SecretString};

/// Far beyond any list of certificates.
const LARGEST_PEM: u64 = 16 * 1024 * 1024;

/// Makes ring the process' provider. Later calls have no effect.
pub fn install_provider() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("a TLS provider is installed already");
    }
}

/// What a client trusts and shows beyond the system's root certificates. The files are read anew for each connection, so
/// that they can be replaced.
#[derive(Debug, Clone, Default)]
pub struct ClientFiles {
    /// Certificates of authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// What the client shows if it is asked.
    pub identity: Option<IdentityFiles>,
}

/// A client's certificate and its key.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    /// The certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// The key in PEM.
    pub key: KeySource,
}

/// Where a key is.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// The key itself.
    Pem(SecretString),
}

/// Certificates of authorities.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authorities(Vec<CertificateDer<'static>>);

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct TlsFileError {
    /// The setting that names the file: `ca_file`, `client_certificate` or `client_key`.
    pub setting: &'static str,
    /// What is wrong with it.
    pub fault: TlsFileFault,
}

/// What is wrong with a file, or with what it holds.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileFault {
    /// It cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// There is none in it.
    #[error("{0} holds no certificate; expected PEM, with -----BEGIN CERTIFICATE-----")]
    NoCertificate(String),
    /// It is damaged.
    #[error("{place} holds a certificate that cannot be read: {why}")]
    BadCertificate {
        /// The file.
        place: String,
        /// The library's words.
        why: String,
    },
    /// There is none in it.
    #[error("{0} holds no private key; expected PEM, with -----BEGIN PRIVATE KEY-----")]
    NoKey(String),
    /// It has a password.
    #[error(
        "{0} holds an encrypted key, which cannot be used; take its password off with `openssl pkey -in FILE -out NEW`"
    )]
    EncryptedKey(String),
    /// It is damaged, or of a kind that is not known.
    #[error("{place} holds a private key that cannot be used: {why}")]
    BadKey {
        /// The file.
        place: String,
        /// The library's words.
        why: String,
    },
    /// They are not a pair.
    #[error("the key is not that of the certificate in {0}")]
    OtherKey(String),
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

impl ClientFiles {
    /// Reads the files as they are now.
    pub fn client(&self) -> Result<Arc<ClientConfig>, TlsFileError> {
        let setup = |error| TlsFileError { setting: "ca_file", fault: TlsFileFault::Setup(error) };
        let authorities = self.ca_file.as_deref().map(Authorities::read).transpose()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let extra = authorities.map(|authorities| authorities.0).unwrap_or_default();
        let verifier = Verifier::new_with_extra_roots(extra, provider.clone()).map_err(setup)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let Some(identity) = &self.identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
        let chain = certificates("client_certificate", &identity.certificate)?;
        let (place, key) = identity.key.read()?;
        let config = builder.with_client_auth_cert(chain, key).map_err(|error| TlsFileError {
            setting: "client_key",
            fault: if matches!(error, rustls::Error::InconsistentKeys(_)) {
                TlsFileFault::OtherKey(identity.certificate.display().to_string())
            } else {
                TlsFileFault::BadKey { place, why: error.to_string() }
            },
        })?;
        Ok(Arc::new(config))
    }
}

impl ClientFiles {
    /// Everything that is wrong with the files as they are now.
    pub fn faults(&self) -> Vec<TlsFileError> {
        let authorities = self.ca_file.as_deref().map(Authorities::read);
        let chain = self.identity.as_ref().map(|own| certificates("client_certificate", &own.certificate));
        let key = self.identity.as_ref().map(|own| own.key.read());
        let faults =
            [authorities.and_then(Result::err), chain.and_then(Result::err), key.and_then(Result::err)];
        let mut faults: Vec<_> = faults.into_iter().flatten().collect();
        if faults.is_empty() {
            faults.extend(self.client().err());
        }
        faults
    }
}

impl Authorities {
    /// Reads a file of certificates.
    pub fn read(path: &Path) -> Result<Self, TlsFileError> {
        let found = certificates("ca_file", path)?;
        let mut store = RootCertStore::empty();
        for certificate in &found {
            store.add(certificate.clone()).map_err(|error| TlsFileError {
                setting: "ca_file",
                fault: TlsFileFault::BadCertificate {
                    place: path.display().to_string(),
                    why: error.to_string(),
                },
            })?;
        }
        Ok(Self(found))
    }

    /// The certificates, each as DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl KeySource {
    /// Where it is, in words, and the key.
    fn read(&self) -> Result<(String, PrivateKeyDer<'static>), TlsFileError> {
        let (place, pem) = match self {
            Self::File(path) => {
                let pem = read("client_key", path)?;
                (path.display().to_string(), SecretString::from(String::from_utf8_lossy(&pem).into_owned()))
            }
            Self::Pem(pem) => ("the variable".to_owned(), pem.clone()),
        };
        let pem = pem.expose_secret();
        let fault = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(key) => return Ok((place, key)),
            // Two forms: of PKCS#8, and the older one with a header.
            Err(_) if pem.contains("ENCRYPTED") => TlsFileFault::EncryptedKey(place),
            Err(PemError::NoItemsFound) => TlsFileFault::NoKey(place),
            Err(error) => TlsFileFault::BadKey { place, why: damage(&error).to_owned() },
        };
        Err(TlsFileError { setting: "client_key", fault })
    }
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let pem = read(setting, path)?;
    let place = || path.display().to_string();
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let fault = match found {
        Ok(found) if !found.is_empty() => return Ok(found),
        Ok(_) | Err(PemError::NoItemsFound) => TlsFileFault::NoCertificate(place()),
        Err(error) => TlsFileFault::BadCertificate { place: place(), why: damage(&error).to_owned() },
    };
    Err(TlsFileError { setting, fault })
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_PEM).read_to_end(&mut bytes))
        .map_err(|error| TlsFileFault::Unreadable { path: path.to_owned(), error })
        .map_err(|fault| TlsFileError { setting, fault })?;
    Ok(bytes)
}

/// The library's own words may show parts of the file.
fn damage(error: &PemError) -> &'static str {
    if matches!(error, PemError::MissingSectionEnd { .. }) {
        "its -----END line is missing"
    } else if matches!(error, PemError::IllegalSectionStart { .. }) {
        "its -----BEGIN line is damaged"
    } else if matches!(error, PemError::Base64Decode(_)) {
        "it is not base64"
    } else {
        "it is damaged"
    }
}

#[cfg(test)]
mod tests;
