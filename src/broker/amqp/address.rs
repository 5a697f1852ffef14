//! The addresses of the broker's nodes, as the configuration gives them. Never shows a password.

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use secrecy::{ExposeSecret, SecretString};

use crate::broker::timing::{CONNECT_MILLISECONDS, HEARTBEAT_SECONDS};
use crate::tls::ClientFiles;

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

    /// The same nodes, with what is trusted and shown on the way to them.
    #[must_use]
    pub fn with_tls(mut self, tls: ClientFiles) -> Self {
        let tls = Arc::new(tls);
        for address in std::iter::once(&mut self.first).chain(&mut self.others) {
            address.tls = tls.clone();
        }
        self
    }

    /// The number of nodes.
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Whether a password stands in one of them. RabbitMQ's own `guest`, which works from the same machine only, is none.
    pub fn hold_password(&self) -> bool {
        std::iter::once(&self.first).chain(&self.others).any(Address::holds_password)
    }

    /// The address for an attempt: one node after another, then the first again.
    pub fn nth(&self, attempt: usize) -> &Address {
        (attempt % self.count())
            .checked_sub(1)
            .and_then(|other| self.others.get(other))
            .unwrap_or(&self.first)
    }

    /// Splits the list that an environment variable holds, at its commas. A comma that no address follows belongs to a
    /// password.
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

/// A valid AMQP address. Holds a password; its `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Address {
    text: SecretString,
    /// For `amqps://`.
    tls: Arc<ClientFiles>,
    /// Frames are no larger, whatever the address allows.
    largest_frame: u32,
}

/// Why an address is not valid. The invalid part is not repeated where it may be the password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no AMQP address.
    #[error(
        "expected an AMQP address, such as \"amqp://user:password@host:5672/%2f\" (%2f is the vhost `/`)"
    )]
    NoAddress,
    /// A parameter after the `?` has an invalid value.
    #[error("the parameter {name} of the address must be {expected}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// The valid values, in words.
        expected: &'static str,
    },
    /// There is no such parameter.
    #[error("the address has no parameter {0}; known here: {known}", known = known_parameters())]
    Parameter(String),
    /// The text after the `?`, which may be the rest of a password, is no parameter.
    #[error("what stands behind the `?` of the address is no parameter; in a password, write %3F for `?`")]
    NoParameter,
    /// A `/` or `#` that belongs to a password ended the host too early.
    #[error(
        "an `@` stands behind the first `/` or `#` of the address; in a password, write %40 for `@`, %2F for `/` and %23 for `#`"
    )]
    CutPassword,
}

/// Name, valid values in words, and whether a text is one of them.
type Parameter = (&'static str, &'static str, fn(&str) -> bool);

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

/// Where a node listens, and how to connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct NodeEndpoint {
    /// A name or an IP address.
    pub(in crate::broker) host: String,
    pub(in crate::broker) port: u16,
    pub(in crate::broker) tls: bool,
    /// For the network to let a connection in.
    pub(in crate::broker) timeout: Duration,
    /// The largest frame that this side takes, in bytes.
    pub(in crate::broker) frame_max: u32,
}

/// The largest frame, in bytes, where the address does not say otherwise: half of what RabbitMQ allows. The client
/// library keeps room for 64 of them on each connection, and fills all of it in the course of time.
const FRAME_MAX: u32 = 65_536;
const FRAME_MIN: u32 = 4096;
const FRAME_MOST: u32 = 16 * 1024 * 1024;

impl Default for Address {
    /// RabbitMQ on this machine, as its packages install it.
    fn default() -> Self {
        Self::new("amqp://guest:guest@127.0.0.1:5672/%2f")
    }
}

impl Address {
    fn new(text: &str) -> Self {
        Self { text: SecretString::from(text), tls: Arc::default(), largest_frame: u32::MAX }
    }

    /// The same with frames of at most so many bytes. The client library keeps 64 frames' room for a connection.
    pub(in crate::broker) fn with_frames_up_to(&self, bytes: u32) -> Self {
        Self { largest_frame: bytes, ..self.clone() }
    }

    /// What is trusted and shown on the way to it.
    pub(in crate::broker) fn tls(&self) -> &Arc<ClientFiles> {
        &self.tls
    }

    /// Reads `amqp://` and `amqps://` addresses.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let cut = password_is_cut(text);
        let url = url::Url::parse(text)
            .map_err(|_| if cut { AddressError::CutPassword } else { AddressError::NoAddress })?;
        if cut {
            return Err(AddressError::CutPassword);
        }
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
        Ok(Self::new(text))
    }

    fn holds_password(&self) -> bool {
        let password = url::Url::parse(self.text.expose_secret()).ok();
        password.is_some_and(|url| url.password().is_some_and(|password| !["", "guest"].contains(&password)))
    }

    /// Host and port, which may be shown.
    pub fn shown(&self) -> String {
        self.endpoint().map_or_else(
            |_| String::new(),
            |NodeEndpoint { host, port, .. }| {
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
            },
        )
    }

    pub(in crate::broker) fn endpoint(&self) -> Result<NodeEndpoint, AddressError> {
        let uri = self.uri()?;
        let url = url::Url::parse(self.text.expose_secret()).map_err(|_| AddressError::NoAddress)?;
        // The client library does not recognise an IPv6 address, and would connect to `localhost`.
        let host = match url.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(url::Host::Ipv4(_) | url::Host::Domain(_)) | None => uri.authority.host,
        };
        let timeout = Duration::from_millis(uri.query.connection_timeout.unwrap_or(CONNECT_MILLISECONDS));
        let frame_max = uri.query.frame_max.unwrap_or(FRAME_MAX);
        Ok(NodeEndpoint {
            host,
            port: uri.authority.port,
            tls: uri.scheme == AMQPScheme::AMQPS,
            timeout,
            frame_max,
        })
    }

    /// The user that RabbitMQ will know; `None` where a certificate says it.
    pub(in crate::broker) fn user(&self) -> Option<String> {
        let uri = self.uri().ok()?;
        let by_certificate = uri.query.auth_mechanism == Some(SASLMechanism::External);
        (!by_certificate).then_some(uri.authority.userinfo.username)
    }

    pub(in crate::broker) fn uri(&self) -> Result<AMQPUri, AddressError> {
        let mut uri: AMQPUri = self.text.expose_secret().parse().map_err(|_| AddressError::NoAddress)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.frame_max = Some(uri.query.frame_max.unwrap_or(FRAME_MAX).min(self.largest_frame));
        uri.query.connection_timeout.get_or_insert(CONNECT_MILLISECONDS);
        Ok(uri)
    }
}

/// Whether an `@` stands behind the first `/` or `#`: the host would then be the user, or a part of the password, which
/// messages show and DNS is asked for. A vhost's `@` must be escaped, too. What follows a `?` is looked at elsewhere.
fn password_is_cut(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let before = rest.split_once('?').map_or(rest, |(before, _)| before);
    before.split_once(['/', '#']).is_some_and(|(_, path)| path.contains('@'))
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
    fn a_password_that_a_slash_cuts_is_refused_with_what_to_write_and_not_repeated() {
        for text in [
            "amqp://guest:p@Secret/w@127.0.0.1:5672/%2f",
            "amqp://guest:Secret/w@host",
            "amqp://guest:12/Secret@host:5672/%2f",
            "amqps://guest:p@Secret/@host",
            "amqp://guest:/Secret@host/v",
            "amqp://guest:p@Secret#w@host",
            "amqp://host/v@Secret",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error, AddressError::CutPassword, "{text}");
            let told = error.to_string();
            assert!(told.contains("%40 for `@`") && told.contains("%2F for `/`"), "{told}");
            assert!(!told.contains("ecret"), "{told}");
        }
        for (text, shown) in [
            ("amqp://guest:p%40ss%2Fw@127.0.0.1:5672/%2f", "127.0.0.1:5672"),
            ("amqp://guest:p@ss@host/v%40w", "host:5672"),
            ("amqp://host/v%2Fw", "host:5672"),
        ] {
            assert_eq!(Address::parse(text).unwrap().shown(), shown, "{text}");
        }
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
    fn attempts_go_through_the_nodes_and_begin_again() {
        let address = |host: &str| Address::parse(&format!("amqp://{host}")).unwrap();
        let three = Addresses::new([address("a"), address("b"), address("c")]).unwrap();
        let turns: Vec<String> = (0..4).map(|attempt| three.nth(attempt).shown()).collect();
        assert_eq!(turns, ["a:5672", "b:5672", "c:5672", "a:5672"]);
        assert_eq!(Addresses::from(address("a")).nth(7).shown(), "a:5672");
    }
}
