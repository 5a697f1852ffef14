//! The broker's addresses, as the configuration gives them.

use crate::broker::timing::{CONNECT_MILLISECONDS, HEARTBEAT_SECONDS};
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
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

/// It was not understood. What was wrong is not repeated where it may be the password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is something else.
    #[error(
        "expected an AMQP address, such as \"amqp://user:password@host:5672/%2f\" (%2f is the vhost `/`)"
    )]
    NoAddress,
    /// A parameter behind the `?` has a value that it cannot have.
    #[error("the parameter {name} of the address must be {expected}")]
    Value {
        /// Which one.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// A parameter that there is not.
    #[error("the address has no parameter {0}; known here: {known}", known = known_parameters())]
    Parameter(String),
    /// It may be the rest of a password.
    #[error("what stands behind the `?` of the address is no parameter; in a password, write %3F for `?`")]
    NoParameter,
}

/// Its name, what it must be, and whether a text is that.
type Parameter = (&'static str, &'static str, fn(&str) -> bool);

/// The parameters that an address may have.
const PARAMETERS: [Parameter; 5] = [
    ("frame_max", "a number of bytes from 4096 to 16777216", |text| {
        text.parse::<u32>().is_ok_and(|bytes| (FRAME_MIN..=FRAME_MOST).contains(&bytes))
    }),
    ("channel_max", "a number from 0 (what the broker allows) to 65535", |text| text.parse::<u16>().is_ok()),
    ("heartbeat", "a number of seconds from 0 (what the broker wants) to 65535", |text| {
        text.parse::<u16>().is_ok()
    }),
    ("connection_timeout", "a number of milliseconds from 1 to 600000", |text| {
        text.parse::<u64>().is_ok_and(|milliseconds| (1..=600_000).contains(&milliseconds))
    }),
    ("auth_mechanism", "plain, amqplain, external, anonymous or rabbit-cr-demo", |text| {
        text.parse::<SASLMechanism>().is_ok()
    }),
];

fn known_parameters() -> String {
    PARAMETERS.map(|(name, ..)| name).join(", ")
}

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Endpoint {
    /// A name or an address.
    pub(in crate::broker) host: String,
    pub(in crate::broker) port: u16,
    pub(in crate::broker) tls: bool,
    /// How long the network may take to let a connection in.
    pub(in crate::broker) timeout: Duration,
    /// The largest frame that this side takes.
    pub(in crate::broker) frame_max: u32,
}

/// The largest frame, likewise; RabbitMQ's own limit where nobody sets one. The client library keeps room for 64 of
/// them, so a broker without a limit must not choose.
const FRAME_MAX: u32 = 131_072;
const FRAME_MIN: u32 = 4096;
const FRAME_MOST: u32 = 16 * 1024 * 1024;

impl Default for Address {
    /// A broker as its packages install it, on this machine.
    fn default() -> Self {
        Self(SecretString::from("amqp://guest:guest@127.0.0.1:5672/%2f"))
    }
}

impl Address {
    /// Reads `amqp://` and `amqps://` addresses.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = url::Url::parse(text).map_err(|_| AddressError::NoAddress)?;
        for (name, value) in url.query_pairs() {
            let Some((name, expected, fits)) = PARAMETERS.iter().find(|(known, ..)| *known == name) else {
                let harmless =
                    name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                return Err(if harmless {
                    AddressError::Parameter(name.into())
                } else {
                    AddressError::NoParameter
                });
            };
            if !fits(&value) {
                return Err(AddressError::Value { name, expected });
            }
        }
        text.parse::<AMQPUri>().map_err(|_| AddressError::NoAddress)?;
        Ok(Self(SecretString::from(text)))
    }

    /// Host and port: what may be shown.
    pub fn shown(&self) -> String {
        self.endpoint().map_or_else(
            |_| String::new(),
            |Endpoint { host, port, .. }| {
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
            },
        )
    }

    /// Where to connect to.
    pub(in crate::broker) fn endpoint(&self) -> Result<Endpoint, AddressError> {
        let uri = self.uri()?;
        let url = url::Url::parse(self.0.expose_secret()).map_err(|_| AddressError::NoAddress)?;
        // The client library's reader takes an IPv6 address for none, and that for `localhost`.
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(url::Host::Ipv4(_) | url::Host::Domain(_)) | None => uri.authority.host,
        };
        let timeout = Duration::from_millis(uri.query.connection_timeout.unwrap_or(CONNECT_MILLISECONDS));
        let frame_max = uri.query.frame_max.unwrap_or(FRAME_MAX);
        Ok(Endpoint {
            host,
            port: uri.authority.port,
            tls: uri.scheme == AMQPScheme::AMQPS,
            timeout,
            frame_max,
        })
    }

    pub(in crate::broker) fn uri(&self) -> Result<AMQPUri, AddressError> {
        let mut uri: AMQPUri = self.0.expose_secret().parse().map_err(|_| AddressError::NoAddress)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
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
    fn a_host_may_be_a_name_or_an_address_of_either_kind() {
        for (text, host, port, shown) in [
            ("amqp://broker", "broker", 5672, "broker:5672"),
            ("amqps://broker.example.com/v", "broker.example.com", 5671, "broker.example.com:5671"),
            ("amqp://10.0.0.1", "10.0.0.1", 5672, "10.0.0.1:5672"),
            ("amqp://user:secret@[fd00::1]:5673/%2f", "fd00::1", 5673, "[fd00::1]:5673"),
        ] {
            let address = Address::parse(text).unwrap();
            let endpoint = address.endpoint().unwrap();
            assert_eq!(
                (endpoint.host.as_str(), endpoint.port, endpoint.tls),
                (host, port, text.starts_with("amqps"))
            );
            assert_eq!(address.shown(), shown);
        }
    }

    #[test]
    fn a_wrong_parameter_is_named_and_its_value_is_not() {
        for (query, expected) in [
            ("heartbeat=abc", "the parameter heartbeat of the address must be a number of seconds"),
            ("heartbeat=70000", "the parameter heartbeat"),
            ("heartbeat=", "the parameter heartbeat"),
            ("heartbeat=10&channel_max=x", "the parameter channel_max"),
            ("frame_max=512", "from 4096"),
            ("connection_timeout=0", "the parameter connection_timeout"),
            ("auth_mechanism=secret", "plain, amqplain"),
            ("heartbeats=10", "no parameter heartbeats; known here: frame_max, channel_max, heartbeat"),
            ("cacertfile=/x", "no parameter cacertfile"),
            ("Secret@host", "write %3F"),
        ] {
            let error = Address::parse(&format!("amqp://broker/%2f?{query}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{query}: {error}");
            assert!(!error.contains("ecret"), "{error}");
        }
        let all = "frame_max=4096&channel_max=16&heartbeat=0&connection_timeout=500&auth_mechanism=PLAIN";
        let endpoint = Address::parse(&format!("amqp://broker/%2f?{all}")).unwrap().endpoint().unwrap();
        assert_eq!((endpoint.frame_max, endpoint.timeout), (4096, Duration::from_millis(500)));
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
