//! An AMQP client that writes its frames by hand, because client libraries do not send malformed ones.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Type, channel and size; then the payload; then the end.
const END: u8 = 0xCE;
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const ACK: [u8; 4] = [0, 60, 0, 80];
/// The bit of a property in the flags.
pub const HEADERS: u16 = 13;

/// A connection with one channel, whose publishes are confirmed.
#[derive(Debug)]
pub struct Raw {
    socket: TcpStream,
    frame_max: usize,
}

impl Raw {
    /// Connects as `guest`, and agrees to the largest frames that the node allows.
    pub async fn connect(addr: &str, vhost: &str) -> Self {
        let socket = TcpStream::connect(addr).await.expect("the node listens");
        let mut raw = Self { socket, frame_max: 4096 };
        raw.socket.write_all(b"AMQP\0\0\x09\x01").await.expect("a greeting");
        raw.until([0, 10, 0, 10]).await;
        let response = long(b"\0guest\0guest");
        raw.method(
            0,
            [0, 10, 0, 11],
            &[&long(b"")[..], &short(b"PLAIN"), &response, &short(b"en_US")].concat(),
        )
        .await;
        let tune = raw.until([0, 10, 0, 30]).await;
        raw.frame_max = u32::from_be_bytes(tune[2..6].try_into().expect("a size")) as usize;
        raw.method(0, [0, 10, 0, 31], &[&tune[..6], &[0, 0]].concat()).await;
        raw.method(0, [0, 10, 0, 40], &[&short(vhost.as_bytes())[..], &[0, 0]].concat()).await;
        raw.until([0, 10, 0, 41]).await;
        raw.method(1, [0, 20, 0, 10], &short(b"")).await;
        raw.until([0, 20, 0, 11]).await;
        raw.method(1, [0, 85, 0, 10], &[0]).await;
        raw.until([0, 85, 0, 11]).await;
        raw
    }

    /// The largest frame.
    pub fn frame_max(&self) -> usize {
        self.frame_max
    }

    /// Declares a durable exchange that hands everything to a queue, whatever its key.
    pub async fn fan_out(&mut self, exchange: &[u8], queue: &str) {
        let declare = [&[0, 0][..], &short(exchange), &short(b"fanout"), &[2], &long(b"")].concat();
        self.method(1, [0, 40, 0, 10], &declare).await;
        self.until([0, 40, 0, 11]).await;
        let bind =
            [&[0, 0][..], &short(queue.as_bytes()), &short(exchange), &short(b""), &[0], &long(b"")].concat();
        self.method(1, [0, 50, 0, 20], &bind).await;
        self.until([0, 50, 0, 21]).await;
    }

    /// Publishes, and waits for the confirm. `properties` are written from their flags on.
    pub async fn publish(&mut self, exchange: &[u8], key: &[u8], properties: &[u8], body: &[u8]) {
        let publish = [&[0, 0][..], &short(exchange), &short(key), &[0]].concat();
        self.method(1, [0, 60, 0, 40], &publish).await;
        let size = (body.len() as u64).to_be_bytes();
        self.frame(HEADER, 1, &[&[0, 60, 0, 0][..], &size, properties].concat()).await;
        for part in body.chunks(self.frame_max - 8) {
            self.frame(BODY, 1, part).await;
        }
        self.until(ACK).await;
    }

    async fn method(&mut self, channel: u16, name: [u8; 4], arguments: &[u8]) {
        self.frame(METHOD, channel, &[&name, arguments].concat()).await;
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let size = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
        let frame = [&[kind], &channel.to_be_bytes()[..], &size, payload, &[END]].concat();
        self.socket.write_all(&frame).await.expect("the node reads");
    }

    /// Reads up to a method, and returns its arguments.
    async fn until(&mut self, name: [u8; 4]) -> Vec<u8> {
        loop {
            let mut start = [0; 7];
            self.socket.read_exact(&mut start).await.expect("the node answers");
            let size = u32::from_be_bytes(start[3..].try_into().expect("four bytes")) as usize;
            let mut payload = vec![0; size + 1];
            self.socket.read_exact(&mut payload).await.expect("a whole frame");
            payload.pop();
            if start[0] == METHOD && payload.starts_with(&name) {
                return payload.split_off(4);
            }
            assert_eq!(start[0], 8, "the node says {:?}", String::from_utf8_lossy(&payload));
        }
    }
}

/// A short string.
pub fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("a short string")], text].concat()
}

/// Bytes with their length before them.
pub fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("few bytes").to_be_bytes()[..], bytes].concat()
}

/// A header of one kind of value.
pub fn entry(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
    [&short(name)[..], &[kind], value].concat()
}

/// Properties that are persistent and have one more.
pub fn property(bit: u16, value: &[u8]) -> Vec<u8> {
    const DELIVERY_MODE: u16 = 12;
    let flags = (1 << bit) | (1 << DELIVERY_MODE);
    let (before, after): (&[u8], &[u8]) =
        if bit > DELIVERY_MODE { (value, b"\x02") } else { (b"\x02", value) };
    [&u16::to_be_bytes(flags)[..], before, after].concat()
}

/// Persistent, with these headers.
pub fn headers(entries: &[u8]) -> Vec<u8> {
    property(HEADERS, &long(entries))
}

/// A header of arrays nested this deep.
pub fn nested(levels: usize) -> Vec<u8> {
    // Written from the inside, backwards, so that a hundred thousand take no time.
    let mut backwards = Vec::new();
    for _ in 0..levels {
        let length = u32::try_from(backwards.len()).expect("a small array");
        backwards.extend(length.to_le_bytes());
        backwards.push(b'A');
    }
    backwards.reverse();
    [short(b"deep"), backwards].concat()
}
