//! How an account is reached: its address, its secrets, and who is trusted to be it.

use std::path::PathBuf;

use secrecy::SecretString;

use super::reading::reader::{Environment, Section};
use super::values::base_url::{BaseUrl, PlainHttp};
use super::values::secret::{SecretError, SecretSource};
use crate::tls::{Authorities, TlsFileError};

/// How an account is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountAccess {
    /// Of its API.
    pub url: BaseUrl,
    /// For everything but activities.
    pub api_key: SecretSource,
    /// For activities.
    pub app_token: Option<SecretSource>,
    /// Certificates of authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// An account's secrets, as they were when they were read.
#[derive(Debug, Clone)]
pub struct AccountSecrets {
    /// For everything but activities.
    pub api_key: SecretString,
    /// For activities.
    pub app_token: Option<SecretString>,
}

/// A secret of an account that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {error}")]
pub struct AccountSecretError {
    /// `api_key` or `app_token`.
    pub key: &'static str,
    /// Why.
    pub error: SecretError,
}

impl AccountAccess {
    /// `None` if the address or the key is missing or wrong, which has been reported. With an environment, the secrets and
    /// certificates are read, too, and those that are not there are reported.
    pub(super) fn read(section: &mut Section<'_>, secrets: Option<Environment<'_>>) -> Option<Self> {
        let plain_http = match section.flag("insecure_http") {
            Some(true) => PlainHttp::Anywhere,
            Some(false) | None => PlainHttp::LoopbackOnly,
        };
        let url = required(section, "url", |section| {
            section.parsed("url", |text| BaseUrl::parse(text, plain_http))
        });
        let api_key = required(section, "api_key", |section| token(section, "api_key", secrets));
        let app_token = token(section, "app_token", secrets);
        let ca_file = section.path("ca_file");
        if let (Some(path), Some(_)) = (&ca_file, secrets)
            && let Err(error) = Authorities::read(path)
        {
            section.problem("ca_file", error.to_string());
        }
        Some(Self { url: url?, api_key: api_key?, app_token, ca_file })
    }

    /// The authorities of `ca_file` as they are now.
    pub fn authorities(&self) -> Result<Option<Authorities>, TlsFileError> {
        self.ca_file.as_deref().map(Authorities::read).transpose()
    }

    /// Whether a secret may be another one when it is read again.
    pub fn keeps_secrets_in_files(&self) -> bool {
        [Some(&self.api_key), self.app_token.as_ref()]
            .into_iter()
            .flatten()
            .any(|source| matches!(source, SecretSource::File(_)))
    }

    /// The secrets as they are now.
    pub fn read_secrets(&self, environment: Environment<'_>) -> Result<AccountSecrets, AccountSecretError> {
        let read = |key, source: &SecretSource| {
            source.read_token(environment).map_err(|error| AccountSecretError { key, error })
        };
        Ok(AccountSecrets {
            api_key: read("api_key", &self.api_key)?,
            app_token: self.app_token.as_ref().map(|source| read("app_token", source)).transpose()?,
        })
    }
}

/// Reports a key that is missing; `read` reports one that is wrong.
pub(super) fn required<T>(
    section: &mut Section<'_>,
    key: &'static str,
    read: impl FnOnce(&mut Section<'_>) -> Option<T>,
) -> Option<T> {
    if !section.has(key) {
        section.problem(key, "missing; every account needs it");
    }
    read(section)
}

/// A secret that is sent as a header, or in its place.
fn token(
    section: &mut Section<'_>,
    key: &'static str,
    secrets: Option<Environment<'_>>,
) -> Option<SecretSource> {
    let source = section.secret(key)?;
    if let Some(environment) = secrets
        && let Err(error) = source.read_token(environment)
    {
        section.problem(key, error.to_string());
    }
    Some(source)
}
