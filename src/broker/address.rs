//! The broker's address, as the configuration gives it.

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

/// An AMQP address that was understood. Holds a password; its `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Address(SecretString);

/// It was not understood. What was wrong is not repeated: it may be the password.
#[derive(Debug, thiserror::Error)]
#[error("expected an AMQP address, such as \"amqp://user:password@host:5672/%2f\" (%2f is the vhost `/`)")]
pub struct AddressError;

/// A silent peer is noticed within twice this long, where the address does not say otherwise.
const HEARTBEAT_SECONDS: u16 = 20;

/// How long the network may take to let a connection in, likewise.
const CONNECT_MILLISECONDS: u64 = 10_000;

impl Default for Address {
    /// A broker as its packages install it, on this machine.
    fn default() -> Self {
        Self(SecretString::from("amqp://guest:guest@127.0.0.1:5672/%2f"))
    }
}

impl Address {
    /// Reads `amqp://` and `amqps://` addresses.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        text.parse::<AMQPUri>().map_err(|_| AddressError)?;
        Ok(Self(SecretString::from(text)))
    }

    /// Host and port: what may be shown.
    pub fn shown(&self) -> String {
        self.uri()
            .map_or_else(|_| String::new(), |uri| format!("{}:{}", uri.authority.host, uri.authority.port))
    }

    pub(super) fn uri(&self) -> Result<AMQPUri, AddressError> {
        let mut uri: AMQPUri = self.0.expose_secret().parse().map_err(|_| AddressError)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.connection_timeout.get_or_insert(CONNECT_MILLISECONDS);
        Ok(uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address = Address::parse("amqp://user:secret@broker:5673/%2f").unwrap();
        assert_eq!(address.shown(), "broker:5673");
        assert!(!format!("{address:?}").contains("secret"));
        assert!(!Address::parse("amqp://user:secret@:x").unwrap_err().to_string().contains("secret"));
    }
}
