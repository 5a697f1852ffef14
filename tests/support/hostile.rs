//! Unusual properties and headers that RabbitMQ accepts.

use super::raw::{entry, long, short};

/// A word in Latin-1, which is not valid UTF-8.
const LATIN: &[u8] = b"caf\xe9";

/// How deep headers are nested. A frame has room for eighteen thousand levels; but RabbitMQ computes the size of each
/// level anew where it writes a delivery, and takes six seconds for so many, in which no client gets anything.
const DEPTH: usize = 2000;

/// Properties by name, each within a frame of this size with room for what RabbitMQ adds.
pub fn hostile(frame_max: usize) -> Vec<(&'static str, Properties)> {
    let room = frame_max - 1024;
    let plain = Properties::default;
    let texts = ["content_type", "correlation_id", "reply_to", "message_id", "type", "app_id", "cluster_id"];
    let every = |value: &[u8]| texts.iter().fold(plain(), |properties, name| properties.text(name, value));
    let inner = table(&[(LATIN, b'S', long(LATIN))]);
    let array = [vec![b'F'], inner.clone()].concat();
    let forged: [(&[u8], u8, Vec<u8>); 8] = [
        (b"freshet-queued-at", b'l', i64::MIN.to_be_bytes().to_vec()),
        (b"freshet-copy", b't', vec![1]),
        (b"freshet-replays", b'l', i64::MAX.to_be_bytes().to_vec()),
        (b"freshet-account", b'S', long(b"nobody")),
        (b"freshet-reason", b'S', long(b"rejected")),
        (b"freshet-detail", b'F', inner.clone()),
        (b"freshet-failed-at", b'V', Vec::new()),
        (b"x-delivery-count", b'l', 1_000_000_i64.to_be_bytes().to_vec()),
    ];
    vec![
        ("a property that is no UTF-8", plain().text("app_id", LATIN)),
        ("every property that is no UTF-8", every(LATIN)),
        ("every property as long as can be", every(&[0xFF; 255])),
        ("a header's name that is no UTF-8", plain().headers(&[(LATIN, b'S', long(b"x"))])),
        ("a header's text that is no UTF-8", plain().headers(&[(b"x", b'S', long(LATIN))])),
        (
            "names inside headers that are no UTF-8",
            plain().headers(&[(b"table", b'F', inner), (b"array", b'A', long(&array))]),
        ),
        (
            "tables two thousand levels deep",
            plain().headers(&[(b"x", b'F', deep_tables(DEPTH.min(room / 7)))]),
        ),
        (
            "arrays two thousand levels deep",
            plain().headers(&[(b"x", b'A', deep_arrays(DEPTH.min(room / 5)))]),
        ),
        (
            "a header as large as a frame has room for",
            plain().headers(&[(b"x", b'S', long(&vec![b'x'; room]))]),
        ),
        ("as many headers as a frame has room for", plain().headers(&many(room / 8))),
        ("every type of header", plain().headers(&types())),
        ("headers without a name, and twice", plain().headers(&[(b"", b'V', vec![]), (b"", b't', vec![1])])),
        ("Freshet's own headers, forged", plain().headers(&forged)),
        ("times and priorities beyond all bounds", plain().timestamp(u64::MAX).priority(255)),
    ]
}

/// A message's properties as bytes. Texts may be invalid UTF-8.
#[derive(Debug, Clone, Default)]
pub struct Properties(Vec<(u16, Vec<u8>)>);

impl Properties {
    /// A property that is a short text, by its name in AMQP.
    pub fn text(mut self, name: &str, value: &[u8]) -> Self {
        let bit = match name {
            "content_type" => 15,
            "correlation_id" => 10,
            "reply_to" => 9,
            "message_id" => 7,
            "type" => 5,
            "app_id" => 3,
            "cluster_id" => 2,
            other => panic!("no text property is called {other}"),
        };
        self.0.push((bit, short(value)));
        self
    }

    fn priority(mut self, value: u8) -> Self {
        self.0.push((11, vec![value]));
        self
    }

    fn timestamp(mut self, value: u64) -> Self {
        self.0.push((6, value.to_be_bytes().to_vec()));
        self
    }

    /// Each a name, the letter of a type, and the value's bytes.
    pub fn headers(mut self, entries: &[(&[u8], u8, Vec<u8>)]) -> Self {
        self.0.push((13, table(entries)));
        self
    }

    /// From their flags on.
    pub fn bytes(&self) -> Vec<u8> {
        // Persistent, whatever else it is.
        let mut parts = [self.0.clone(), vec![(12, vec![2])]].concat();
        parts.sort_by_key(|(bit, _)| std::cmp::Reverse(*bit));
        let flags = parts.iter().fold(0_u16, |flags, (bit, _)| flags | 1 << bit);
        let mut bytes = flags.to_be_bytes().to_vec();
        bytes.extend(parts.into_iter().flat_map(|(_, value)| value));
        bytes
    }
}

fn table(entries: &[(&[u8], u8, Vec<u8>)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(name, kind, value)| entry(name, *kind, value));
    long(&entries.collect::<Vec<u8>>())
}

/// Each table is the only entry, `n`, of the one around it.
fn deep_tables(levels: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for inside in (0..levels).rev() {
        bytes.extend(u32::try_from(inside * 7 + 7).expect("a size").to_be_bytes());
        bytes.extend(b"\x01nF");
    }
    bytes.extend([0; 4]);
    bytes
}

fn deep_arrays(levels: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for inside in (0..levels).rev() {
        bytes.extend(u32::try_from(inside * 5 + 5).expect("a size").to_be_bytes());
        bytes.push(b'A');
    }
    bytes.extend([0; 4]);
    bytes
}

fn many(entries: usize) -> Vec<(&'static [u8], u8, Vec<u8>)> {
    vec![(b"many", b't', vec![1]); entries]
}

/// One value of each type that RabbitMQ knows. It refuses floats that are not numbers, so there is none.
fn types() -> Vec<(&'static [u8], u8, Vec<u8>)> {
    vec![
        (b"t", b't', vec![2]),
        (b"b", b'b', vec![0x80]),
        (b"B", b'B', vec![0xFF]),
        (b"s", b's', vec![0x80, 0]),
        (b"u", b'u', vec![0xFF, 0xFF]),
        (b"I", b'I', vec![0x80, 0, 0, 0]),
        (b"i", b'i', vec![0xFF; 4]),
        (b"l", b'l', vec![0x80, 0, 0, 0, 0, 0, 0, 0]),
        (b"f", b'f', f32::MIN_POSITIVE.to_be_bytes().to_vec()),
        (b"d", b'd', f64::MAX.to_be_bytes().to_vec()),
        (b"D", b'D', vec![255, 0xFF, 0xFF, 0xFF, 0xFF]),
        (b"T", b'T', vec![0xFF; 8]),
        (b"x", b'x', long(&[0xFF, 0, 1])),
        (b"V", b'V', vec![]),
        (b"S", b'S', long(b"")),
        (b"A", b'A', long(&[b'V', b't', 1])),
        (b"F", b'F', long(&[short(b"").as_slice(), b"V"].concat())),
    ]
}
