//! Publishes messages byte by byte: what RabbitMQ takes from any program, and client libraries do not let one send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

const START: (u16, u16) = (10, 10);
const START_OK: (u16, u16) = (10, 11);
const TUNE: (u16, u16) = (10, 30);
const TUNE_OK: (u16, u16) = (10, 31);
const OPEN: (u16, u16) = (10, 40);
const OPEN_OK: (u16, u16) = (10, 41);
const CHANNEL_OPEN: (u16, u16) = (20, 10);
const CHANNEL_OPEN_OK: (u16, u16) = (20, 11);
const SELECT: (u16, u16) = (85, 10);
const SELECT_OK: (u16, u16) = (85, 11);
const PUBLISH: (u16, u16) = (60, 40);
const ACK: (u16, u16) = (60, 80);

/// A connection with one channel in confirm mode, without heartbeats.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    frame_max: usize,
}

impl Raw {
    pub async fn connect(url: &str) -> Self {
        let url = url::Url::parse(url).expect("a URL");
        let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
        let stream = TcpStream::connect((host, port)).await.expect("RabbitMQ listens");
        let mut raw = Self { stream, frame_max: 4096 };
        raw.stream.write_all(b"AMQP\0\0\x09\x01").await.expect("RabbitMQ reads");
        raw.expect(START).await;
        let mut start = long(b"");
        start.extend(short(b"PLAIN"));
        start.extend(long(format!("\0{}\0{}", url.username(), url.password().unwrap_or("")).as_bytes()));
        start.extend(short(b"en_US"));
        raw.method(0, START_OK, &start).await;
        let mut tune = raw.expect(TUNE).await;
        let frame_max = u32::from_be_bytes(tune[2..6].try_into().expect("four bytes"));
        raw.frame_max = usize::try_from(frame_max).expect("a size");
        // The same, without heartbeats.
        tune[6..8].copy_from_slice(&[0, 0]);
        raw.method(0, TUNE_OK, &tune).await;
        let vhost = url.path().trim_start_matches('/').replace("%2f", "/").replace("%2F", "/");
        let vhost = if vhost.is_empty() { "/" } else { &vhost };
        let open = [short(vhost.as_bytes()), vec![0, 0]].concat();
        raw.method(0, OPEN, &open).await;
        raw.expect(OPEN_OK).await;
        raw.method(1, CHANNEL_OPEN, &[0]).await;
        raw.expect(CHANNEL_OPEN_OK).await;
        raw.method(1, SELECT, &[0]).await;
        raw.expect(SELECT_OK).await;
        raw
    }

    /// What RabbitMQ allows: a message's properties travel in one frame.
    pub fn frame_max(&self) -> usize {
        self.frame_max
    }

    /// Publishes, and waits for the confirm. `Err` tells how RabbitMQ answered instead.
    pub async fn publish(
        &mut self,
        exchange: &str,
        key: &str,
        properties: &Properties,
        body: &[u8],
    ) -> Result<(), String> {
        let publish = [vec![0, 0], short(exchange.as_bytes()), short(key.as_bytes()), vec![1]].concat();
        self.method(1, PUBLISH, &publish).await;
        let mut header = vec![0, 60, 0, 0];
        header.extend(u64::try_from(body.len()).expect("a size").to_be_bytes());
        header.extend(properties.bytes());
        assert!(header.len() + 8 <= self.frame_max, "{} bytes do not fit one frame", header.len());
        self.frame(HEADER, 1, &header).await;
        for part in body.chunks(self.frame_max - 8) {
            self.frame(BODY, 1, part).await;
        }
        match self.answer().await {
            (ACK, _) => Ok(()),
            (method, arguments) => Err(format!("{method:?} {}", String::from_utf8_lossy(&arguments))),
        }
    }

    async fn method(&mut self, channel: u16, (class, method): (u16, u16), arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload).await;
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let mut bytes = vec![kind];
        bytes.extend(channel.to_be_bytes());
        bytes.extend(u32::try_from(payload.len()).expect("a size").to_be_bytes());
        bytes.extend(payload);
        bytes.push(0xCE);
        self.stream.write_all(&bytes).await.expect("RabbitMQ reads");
    }

    async fn expect(&mut self, expected: (u16, u16)) -> Vec<u8> {
        let (method, arguments) = self.answer().await;
        assert_eq!(method, expected, "{}", String::from_utf8_lossy(&arguments));
        arguments
    }

    /// The next method and its arguments.
    async fn answer(&mut self) -> ((u16, u16), Vec<u8>) {
        loop {
            let mut head = [0; 7];
            self.stream.read_exact(&mut head).await.expect("RabbitMQ answers");
            let length = u32::from_be_bytes(head[3..].try_into().expect("four bytes"));
            let mut payload = vec![0; usize::try_from(length).expect("a size") + 1];
            self.stream.read_exact(&mut payload).await.expect("RabbitMQ answers");
            payload.pop();
            if head[0] == HEARTBEAT {
                continue;
            }
            assert_eq!(head[0], METHOD, "a frame of another kind");
            let number = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
            return ((number(0), number(2)), payload[4..].to_vec());
        }
    }
}

/// A message's properties as bytes. Texts need be no UTF-8.
#[derive(Debug, Clone, Default)]
pub struct Properties(Vec<(u16, Vec<u8>)>);

impl Properties {
    /// A property that is a short text, by its name in AMQP.
    pub fn text(mut self, name: &str, value: &[u8]) -> Self {
        let bit = match name {
            "content_type" => 15,
            "content_encoding" => 14,
            "correlation_id" => 10,
            "reply_to" => 9,
            "expiration" => 8,
            "message_id" => 7,
            "type" => 5,
            "user_id" => 4,
            "app_id" => 3,
            "cluster_id" => 2,
            other => panic!("no text property is called {other}"),
        };
        self.0.push((bit, short(value)));
        self
    }

    pub fn priority(mut self, value: u8) -> Self {
        self.0.push((11, vec![value]));
        self
    }

    pub fn timestamp(mut self, value: u64) -> Self {
        self.0.push((6, value.to_be_bytes().to_vec()));
        self
    }

    /// Each a name, the letter of a type, and the value's bytes.
    pub fn headers(mut self, entries: &[(&[u8], u8, Vec<u8>)]) -> Self {
        self.0.push((13, table(entries)));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        // Persistent, whatever else it is.
        let mut parts = [self.0.clone(), vec![(12, vec![2])]].concat();
        parts.sort_by_key(|(bit, _)| std::cmp::Reverse(*bit));
        let flags = parts.iter().fold(0_u16, |flags, (bit, _)| flags | 1 << bit);
        let mut bytes = flags.to_be_bytes().to_vec();
        bytes.extend(parts.into_iter().flat_map(|(_, value)| value));
        bytes
    }
}

/// A short text: at most 255 bytes.
pub fn short(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).expect("a short text")];
    bytes.extend(text);
    bytes
}

/// A long text, or anything else behind its length.
pub fn long(text: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).expect("a size").to_be_bytes().to_vec();
    bytes.extend(text);
    bytes
}

/// A table of entries.
pub fn table(entries: &[(&[u8], u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, kind, value) in entries {
        bytes.extend(short(name));
        bytes.push(*kind);
        bytes.extend(value);
    }
    long(&bytes)
}
