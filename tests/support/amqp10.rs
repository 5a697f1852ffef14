//! A sender that speaks AMQP 1.0, which RabbitMQ takes too. Its frames are written by hand.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SASL: u8 = 1;
const AMQP: u8 = 0;
const OPEN: u8 = 0x10;
const BEGIN: u8 = 0x11;
const ATTACH: u8 = 0x12;
const FLOW: u8 = 0x13;
const TRANSFER: u8 = 0x14;
const DISPOSITION: u8 = 0x15;
const MECHANISMS: u8 = 0x40;
const INIT: u8 = 0x41;
const OUTCOME: u8 = 0x44;
/// RabbitMQ's answer to a message that it has accepted.
const ACCEPTED: u8 = 0x24;
pub const NULL: &[u8] = &[0x40];
const FALSE: &[u8] = &[0x42];

/// A link to one queue.
#[derive(Debug)]
pub struct Sender {
    socket: TcpStream,
    sent: u32,
}

impl Sender {
    /// Connects as `guest`, and opens a link to the queue.
    pub async fn to(addr: &str, vhost: &str, queue: &str) -> Self {
        let socket = TcpStream::connect(addr).await.expect("the node listens");
        let mut sender = Self { socket, sent: 0 };
        sender.greet(3).await;
        sender.until(SASL, MECHANISMS).await;
        sender.say(SASL, INIT, &[&symbol(b"PLAIN"), &binary(b"\0guest\0guest")]).await;
        sender.until(SASL, OUTCOME).await;
        sender.greet(0).await;
        sender.say(AMQP, OPEN, &[&text(b"a sender"), &text(format!("vhost:{vhost}").as_bytes())]).await;
        sender.until(AMQP, OPEN).await;
        sender.say(AMQP, BEGIN, &[NULL, &number(0), &number(1000), &number(1000)]).await;
        sender.until(AMQP, BEGIN).await;
        let target = described(0x29, &[&text(format!("/queues/{queue}").as_bytes())]);
        let attach: [&[u8]; 10] = [
            &text(b"link"),
            &number(0),
            FALSE,
            NULL,
            NULL,
            &described(0x28, &[]),
            &target,
            NULL,
            NULL,
            &number(0),
        ];
        sender.say(AMQP, ATTACH, &attach).await;
        sender.until(AMQP, FLOW).await;
        sender
    }

    /// Sends a message of these sections, and waits until RabbitMQ has taken it.
    pub async fn send(&mut self, sections: &[u8]) {
        let id = number(self.sent);
        let tag = binary(&self.sent.to_be_bytes());
        let transfer = described(TRANSFER, &[&number(0), &id, &tag, &number(0), FALSE, FALSE]);
        self.frame(AMQP, &[&transfer, sections].concat()).await;
        self.sent += 1;
        let answer = self.until(AMQP, DISPOSITION).await;
        assert!(answer.windows(3).any(|part| part == [0, 0x53, ACCEPTED]), "not taken: {answer:x?}");
    }

    async fn greet(&mut self, protocol: u8) {
        let greeting = [b'A', b'M', b'Q', b'P', protocol, 1, 0, 0];
        self.socket.write_all(&greeting).await.expect("a greeting");
        let mut answer = [0; 8];
        self.socket.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer, greeting);
    }

    async fn say(&mut self, kind: u8, code: u8, fields: &[&[u8]]) {
        self.frame(kind, &described(code, fields)).await;
    }

    async fn frame(&mut self, kind: u8, body: &[u8]) {
        let size = u32::try_from(8 + body.len()).expect("a small frame").to_be_bytes();
        self.socket.write_all(&[&size[..], &[2, kind, 0, 0], body].concat()).await.expect("the node reads");
    }

    /// Reads up to a frame of this kind.
    async fn until(&mut self, kind: u8, code: u8) -> Vec<u8> {
        loop {
            let mut start = [0; 8];
            self.socket.read_exact(&mut start).await.expect("the node answers");
            let size = u32::from_be_bytes(start[..4].try_into().expect("four bytes")) as usize;
            let mut body = vec![0; size - 8];
            self.socket.read_exact(&mut body).await.expect("a whole frame");
            if start[5] == kind && body.starts_with(&[0, 0x53, code]) {
                return body;
            }
            // End, detach or close: it was refused.
            let refused = (0x16..=0x18).any(|code| body.starts_with(&[0, 0x53, code]));
            assert!(!refused, "the node says {:?}", String::from_utf8_lossy(&body));
        }
    }
}

/// A body.
pub fn data(body: &[u8]) -> Vec<u8> {
    [&[0, 0x53, 0x75], &binary(body)[..]].concat()
}

/// One application property; the value with its type.
pub fn application_property(name: &str, value: &[u8]) -> Vec<u8> {
    let entries = [&text(name.as_bytes()), value].concat();
    [&[0, 0x53, 0x74, 0xd1], &length(entries.len() + 4)[..], &length(2), &entries].concat()
}

/// Properties, up to the last one that is there.
pub fn properties(values: &[&[u8]]) -> Vec<u8> {
    described(0x73, values)
}

pub fn symbol(text: &[u8]) -> Vec<u8> {
    [&[0xb3], &length(text.len())[..], text].concat()
}

pub fn text(text: &[u8]) -> Vec<u8> {
    [&[0xb1], &length(text.len())[..], text].concat()
}

fn binary(bytes: &[u8]) -> Vec<u8> {
    [&[0xb0], &length(bytes.len())[..], bytes].concat()
}

fn number(number: u32) -> Vec<u8> {
    [&[0x70], &number.to_be_bytes()[..]].concat()
}

fn described(code: u8, fields: &[&[u8]]) -> Vec<u8> {
    let items = fields.concat();
    [&[0, 0x53, code, 0xd0], &length(items.len() + 4)[..], &length(fields.len()), &items].concat()
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("a small message").to_be_bytes()
}
