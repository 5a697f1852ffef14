//! The broker's addresses, as the configuration gives them.

use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use secrecy::{ExposeSecret, SecretString};

/// The nodes of one broker, in the order to try them in. Never empty.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    first: Address,
    others: Vec<Address>,
}

impl From<Address> for Addresses {
    fn from(first: Address) -> Self {
        Self { first, others: Vec::new() }
    }
}

impl Addresses {
    /// Nodes of one broker; `None` if there are none.
    pub fn new(nodes: impl IntoIterator<Item = Address>) -> Option<Self> {
        let mut nodes = nodes.into_iter();
        nodes.next().map(|first| Self { first, others: nodes.collect() })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// The address for an attempt: one after another, and again from the first.
    pub fn turn(&self, attempt: usize) -> &Address {
        (attempt % self.count())
            .checked_sub(1)
            .and_then(|other| self.others.get(other))
            .unwrap_or(&self.first)
    }

    /// The texts in a list as an environment variable holds it: with commas between. A comma that no address
    /// follows belongs to a password.
    pub fn split(list: &str) -> Vec<&str> {
        let mut texts = Vec::new();
        let mut rest = list;
        let mut from = 0;
        while let Some(comma) = rest.get(from..).and_then(|text| text.find(',')).map(|at| from + at) {
            let (text, after) =
                (rest.get(..comma).unwrap_or(rest), rest.get(comma + 1..).unwrap_or_default());
            if ["amqp://", "amqps://"].iter().any(|scheme| after.trim_start().starts_with(scheme)) {
                texts.push(text.trim());
                rest = after;
                from = 0;
            } else {
                from = comma + 1;
            }
        }
        texts.push(rest.trim());
        texts
    }
}

/// An AMQP address that was understood. Holds a password; its `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Address(SecretString);

/// It was not understood. What was wrong is not repeated: it may be the password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is something else.
    #[error(
        "expected an AMQP address, such as \"amqp://user:password@host:5672/%2f\" (%2f is the vhost `/`)"
    )]
    NoAddress,
    /// The client library would take it for `localhost`.
    #[error("an IPv6 address cannot be used here; give a host's name that leads to it")]
    Ipv6,
}

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// A name or an address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// How long the network may take to let a connection in.
    pub(super) timeout: Duration,
}

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
        text.parse::<AMQPUri>().map_err(|_| AddressError::NoAddress)?;
        let url = url::Url::parse(text).map_err(|_| AddressError::NoAddress)?;
        if matches!(url.host(), Some(url::Host::Ipv6(_))) {
            return Err(AddressError::Ipv6);
        }
        Ok(Self(SecretString::from(text)))
    }

    /// Host and port: what may be shown.
    pub fn shown(&self) -> String {
        self.uri()
            .map_or_else(|_| String::new(), |uri| format!("{}:{}", uri.authority.host, uri.authority.port))
    }

    /// Where to connect to.
    pub(super) fn endpoint(&self) -> Result<Endpoint, AddressError> {
        let uri = self.uri()?;
        let url = url::Url::parse(self.0.expose_secret()).map_err(|_| AddressError::NoAddress)?;
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(url::Host::Ipv4(_) | url::Host::Domain(_)) | None => uri.authority.host,
        };
        let timeout = Duration::from_millis(uri.query.connection_timeout.unwrap_or(CONNECT_MILLISECONDS));
        Ok(Endpoint { host, port: uri.authority.port, tls: uri.scheme == AMQPScheme::AMQPS, timeout })
    }

    pub(super) fn uri(&self) -> Result<AMQPUri, AddressError> {
        let mut uri: AMQPUri = self.0.expose_secret().parse().map_err(|_| AddressError::NoAddress)?;
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

    #[test]
    fn an_ipv6_address_is_refused_rather_than_taken_for_localhost() {
        let error = Address::parse("amqp://user:secret@[fd00::1]:5672/%2f").unwrap_err();
        assert!(matches!(error, AddressError::Ipv6), "{error}");
        assert_eq!(Address::parse("amqp://10.0.0.1").unwrap().shown(), "10.0.0.1:5672");
    }

    #[test]
    fn a_list_is_split_at_commas_that_an_address_follows() {
        for (list, expected) in [
            ("amqp://a", vec!["amqp://a"]),
            ("amqp://a,amqps://b, amqp://c", vec!["amqp://a", "amqps://b", "amqp://c"]),
            ("amqp://u:p,w@a,amqp://u:p,w@b", vec!["amqp://u:p,w@a", "amqp://u:p,w@b"]),
            ("", vec![""]),
        ] {
            assert_eq!(Addresses::split(list), expected, "{list}");
        }
    }

    #[test]
    fn addresses_take_turns() {
        let address = |host: &str| Address::parse(&format!("amqp://{host}")).unwrap();
        let three = Addresses::new([address("a"), address("b"), address("c")]).unwrap();
        let turns: Vec<String> = (0..4).map(|attempt| three.turn(attempt).shown()).collect();
        assert_eq!(turns, ["a:5672", "b:5672", "c:5672", "a:5672"]);
        assert_eq!(Addresses::from(address("a")).turn(7).shown(), "a:5672");
    }
}
