//! Secrets: the configuration names an environment variable or a file that holds one.
//!
//! The file is read without them. Commands read those that they use, when they use them, and may read them again.

use std::io::Read as _;
use std::path::PathBuf;

use secrecy::SecretString;
use toml::Value;

use crate::config::reading::reader::Environment;

const EXPECTED: &str = "expected { env = \"NAME\" } or { file = \"/path\" }";
/// Far beyond any secret. A device or a wrong file must not fill the memory.
const LONGEST_SECRET: u64 = 1024 * 1024;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(PathBuf),
}

/// Which secrets must be there for a command to go on. The others are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretsNeeded {
    /// For commands that connect to nothing.
    None,
    /// Those of `[broker]`.
    Broker,
    /// Those of the broker, of the pages and of all accounts.
    All,
}

/// Why a secret is not there. It does not repeat what may be the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment does not have it.
    #[error("the environment variable {0} is not set; export it, or use {{ file = ... }}")]
    NotSet(String),
    /// The environment does not have it, and its name may be the secret itself.
    #[error(
        "the environment variable is not set; `env` takes its name, such as ACME_API_KEY, and not the secret"
    )]
    NoName,
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
    /// It is read, and cannot be what it should be.
    #[error("{0}")]
    Unfit(String),
}

impl SecretSource {
    /// Reads `{ env = "NAME" }` or `{ file = "/path" }`.
    pub(in crate::config) fn parse(value: &Value) -> Result<Self, String> {
        let Value::Table(table) = value else {
            let inline = "secrets are never written into the configuration; ";
            return Err(format!("{}{EXPECTED}", if value.is_str() { inline } else { "" }));
        };
        let source = (table.len() == 1).then(|| table.iter().next()).flatten();
        match source {
            Some((kind, Value::String(name))) if kind == "env" => Ok(Self::Env(name.clone())),
            Some((kind, Value::String(path))) if kind == "file" => Ok(Self::File(path.into())),
            _ => Err(EXPECTED.to_owned()),
        }
    }

    /// The secret as it is now, without blanks around it.
    pub fn read(&self, environment: Environment<'_>) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Env(name) => environment(name).ok_or_else(|| not_set(name))?,
            Self::File(path) => {
                let mut text = String::new();
                std::fs::File::open(path)
                    .and_then(|file| file.take(LONGEST_SECRET).read_to_string(&mut text))
                    .map_err(|error| SecretError::Unreadable { path: path.clone(), error })?;
                text
            }
        };
        match text.trim() {
            "" => Err(SecretError::Empty),
            secret => Ok(SecretString::from(secret)),
        }
    }

    /// A secret that is sent as a header, which can hold nothing but visible ASCII.
    pub fn read_token(&self, environment: Environment<'_>) -> Result<SecretString, SecretError> {
        use secrecy::ExposeSecret as _;

        let secret = self.read(environment)?;
        if secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(secret)
        } else {
            Err(SecretError::Unfit("the secret holds blanks or characters that no key has".to_owned()))
        }
    }
}

/// A name that does not look like a variable's is not shown: it may be the secret itself.
fn not_set(name: &str) -> SecretError {
    let usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.bytes().all(usual) { SecretError::NotSet(name.to_owned()) } else { SecretError::NoName }
}
