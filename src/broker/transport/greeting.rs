//! What a broker says of itself when it greets: product, version, cluster. The client library keeps it to itself. Pure.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, connection};
use lapin::types::{AMQPValue, FieldTable};

use super::frames::wire::START;

/// A longer greeting is not kept: RabbitMQ's has some 500 bytes.
const LONGEST_GREETING: usize = 64 * 1024;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::broker) struct ServerProperties {
    pub(in crate::broker) product: Option<String>,
    pub(in crate::broker) version: Option<String>,
    pub(in crate::broker) cluster: Option<String>,
}

/// Collects the first frame.
#[derive(Debug, Default)]
pub(super) struct Greeting(Vec<u8>);

impl Greeting {
    /// Takes the next bytes. `Some` once the first frame is there, or too long.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Option<ServerProperties> {
        let missing = LONGEST_GREETING.saturating_sub(self.0.len());
        self.0.extend(bytes.iter().take(missing));
        let size = self.0.get(3..START).and_then(|size| Some(u32::from_be_bytes(size.try_into().ok()?)))?;
        let length = START.saturating_add(usize::try_from(size).unwrap_or(usize::MAX)).saturating_add(1);
        if length > LONGEST_GREETING {
            return Some(ServerProperties::default());
        }
        Some(properties(self.0.get(..length)?))
    }
}

fn properties(frame: &[u8]) -> ServerProperties {
    let Ok((_, AMQPFrame::Method(_, AMQPClass::Connection(connection::AMQPMethod::Start(start))))) =
        parse_frame(frame)
    else {
        return ServerProperties::default();
    };
    let text = |name: &str| text(&start.server_properties, name);
    ServerProperties { product: text("product"), version: text("version"), cluster: text("cluster_name") }
}

/// Short, and without what a terminal would act on.
fn text(properties: &FieldTable, name: &str) -> Option<String> {
    let value = properties.inner().get(name).and_then(AMQPValue::as_long_string)?.to_string();
    Some(value.chars().filter(|c| !c.is_control()).take(100).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::transport::tests::{frame, long, short, typed};

    fn start(properties: &[(&str, &str)]) -> Vec<u8> {
        let entries = properties
            .iter()
            .map(|(name, value)| [short(name.as_bytes()), typed(b'S', &long(value.as_bytes()))].concat());
        let payload = [
            &[0, 10, 0, 10, 0, 9][..],
            &long(&entries.collect::<Vec<_>>().concat()),
            &long(b"PLAIN AMQPLAIN"),
            &long(b"en_US"),
        ];
        frame(1, 0, &payload.concat())
    }

    #[test]
    fn the_broker_s_words_about_itself_are_kept_in_whatever_pieces_they_come() {
        let bytes =
            start(&[("product", "RabbitMQ"), ("version", "4.1.2"), ("cluster_name", "rabbit@\u{1b}one")]);
        for piece in [1, 7, 100, bytes.len()] {
            let mut greeting = Greeting::default();
            let found: Vec<_> = bytes.chunks(piece).filter_map(|bytes| greeting.received(bytes)).collect();
            let expected = ServerProperties {
                product: Some("RabbitMQ".to_owned()),
                version: Some("4.1.2".to_owned()),
                cluster: Some("rabbit@one".to_owned()),
            };
            assert_eq!(found, [expected], "{piece}");
        }
    }

    #[test]
    fn another_first_frame_says_nothing() {
        for bytes in [start(&[]), frame(1, 0, &[0, 10, 0, 30]), frame(2, 0, b""), vec![0xff; 10], vec![1; 8]]
        {
            let mut greeting = Greeting::default();
            assert_eq!(
                greeting.received(&bytes).unwrap_or_default(),
                ServerProperties::default(),
                "{bytes:?}"
            );
        }
    }
}
