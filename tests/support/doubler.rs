//! Stands between the daemon and RabbitMQ, hands one delivery out twice, and can keep messages from being published.
//!
//! RabbitMQ does the former where a consumer is taken for gone and is not: the message counts as returned, and goes to the
//! same channel again. Here the second delivery gets a tag that RabbitMQ knows nothing of, so the tags of all later ones
//! are shifted, and those of acknowledgements are translated back. As in RabbitMQ, the message is gone from the queue as
//! soon as either delivery is acknowledged.

use super::ports::{self, Port};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the proxy does, and what it has seen.
#[derive(Debug, Default)]
struct Notes {
    /// The first delivery whose body has this text is doubled.
    text: String,
    doubled: bool,
    /// Bodies of deliveries that were acknowledged.
    acknowledged: Vec<Vec<u8>>,
    /// Messages published to this exchange never reach RabbitMQ.
    withhold: Option<String>,
    withheld: usize,
}

/// Listens on a port of its own; gone with its connections when dropped.
#[derive(Debug)]
pub struct Doubler {
    port: u16,
    notes: Arc<Mutex<Notes>>,
    _task: JoinSet<()>,
}

impl Doubler {
    /// `server` is `host:port`. The first delivery of a message whose body has `text` is doubled.
    pub async fn to(server: &str, text: &str) -> Self {
        let port = ports::reserve();
        let number = port.number;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).await.expect("the port is free");
        let notes = Arc::new(Mutex::new(Notes { text: text.to_owned(), ..Notes::default() }));
        let mut task = JoinSet::new();
        task.spawn(listen(port, listener, server.to_owned(), Arc::clone(&notes)));
        Self { port: number, notes, _task: task }
    }

    /// The same URL through the doubler.
    pub fn url(&self, direct: &str) -> String {
        let mut url = url::Url::parse(direct).expect("a URL");
        url.set_host(Some("127.0.0.1")).expect("a URL with a host");
        url.set_port(Some(self.port)).expect("a URL with a port");
        url.into()
    }

    /// From now on nothing that is published to this exchange reaches RabbitMQ, and nothing of it is confirmed.
    pub fn withhold(&self, exchange: &str) {
        self.notes.lock().unwrap().withhold = Some(exchange.to_owned());
    }

    /// How many messages were kept from being published.
    pub fn withheld(&self) -> usize {
        self.notes.lock().unwrap().withheld
    }

    /// Whether a delivery was doubled.
    pub fn doubled(&self) -> bool {
        self.notes.lock().unwrap().doubled
    }

    /// Whether a delivery with this text in its body was acknowledged.
    pub fn acknowledged(&self, text: &str) -> bool {
        self.notes.lock().unwrap().acknowledged.iter().any(|body| has(body, text))
    }
}

fn has(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn listen(_port: Port, listener: TcpListener, server: String, notes: Arc<Mutex<Notes>>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        let (server, notes) = (server.clone(), Arc::clone(&notes));
        connections.spawn(async move {
            // Either side may end it at any time.
            let _ended = carry(client, &server, notes).await;
        });
    }
}

async fn carry(client: TcpStream, server: &str, notes: Arc<Mutex<Notes>>) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut greeting = [0; 8];
    from_client.read_exact(&mut greeting).await?;
    to_server.write_all(&greeting).await?;
    let tags = Arc::new(Mutex::new(HashMap::new()));
    tokio::try_join!(
        deliveries(from_server, to_client, &tags, &notes),
        acknowledgements(from_client, to_server, &tags, &notes),
    )?;
    Ok(())
}

/// The deliveries of one channel.
#[derive(Debug, Default)]
struct Tags {
    /// RabbitMQ's tag of each delivery, in the order in which they were handed to the client.
    given: Vec<u64>,
    /// The bodies of those that RabbitMQ holds for the client, by its own tag.
    out: BTreeMap<u64, Vec<u8>>,
}

type Channels = Arc<Mutex<HashMap<u16, Tags>>>;

/// From RabbitMQ to the client.
async fn deliveries(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    channels: &Channels,
    notes: &Mutex<Notes>,
) -> io::Result<()> {
    let mut incoming: HashMap<u16, Vec<Frame>> = HashMap::new();
    loop {
        let frame = Frame::read(&mut from).await?;
        let channel = frame.channel;
        if frame.method() == Some(DELIVER) {
            incoming.insert(channel, vec![frame]);
        } else if let Some(frames) = incoming.get_mut(&channel) {
            frames.push(frame);
        } else {
            to.write_all(&frame.bytes).await?;
            continue;
        }
        if incoming.get(&channel).is_none_or(|frames| !complete(frames)) {
            continue;
        }
        let mut frames = incoming.remove(&channel).unwrap_or_default();
        let body: Vec<u8> = frames[2..].iter().flat_map(|frame| frame.payload().to_vec()).collect();
        let tag = frames[0].delivery_tag();
        let times = {
            let mut notes = notes.lock().unwrap();
            let twice = !notes.doubled && has(&body, &notes.text);
            notes.doubled |= twice;
            if twice { 2 } else { 1 }
        };
        for time in 0..times {
            let number = {
                let mut channels = channels.lock().unwrap();
                let tags = channels.entry(channel).or_default();
                tags.out.insert(tag, body.clone());
                tags.given.push(tag);
                tags.given.len() as u64
            };
            frames[0].set_delivery_tag(number, time > 0);
            for frame in &frames {
                to.write_all(&frame.bytes).await?;
            }
        }
    }
}

/// From the client to RabbitMQ.
async fn acknowledgements(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    channels: &Channels,
    notes: &Mutex<Notes>,
) -> io::Result<()> {
    let mut withholding: HashMap<u16, Vec<Frame>> = HashMap::new();
    loop {
        let mut frame = Frame::read(&mut from).await?;
        let channel = frame.channel;
        if let Some(frames) = withholding.get_mut(&channel) {
            frames.push(frame);
            if complete(frames) {
                withholding.remove(&channel);
                notes.lock().unwrap().withheld += 1;
            }
            continue;
        }
        match frame.method() {
            // A channel counts from 1 again under the same number.
            Some(OPEN) => {
                channels.lock().unwrap().remove(&channel);
            }
            Some(PUBLISH) if notes.lock().unwrap().withhold.as_deref() == Some(frame.exchange()) => {
                withholding.insert(channel, vec![frame]);
                continue;
            }
            Some(method @ (ACK | REJECT | NACK)) => {
                let mut channels = channels.lock().unwrap();
                let Some(settled) = settle(channels.entry(channel).or_default(), &mut frame, method) else {
                    continue;
                };
                if method == ACK {
                    notes.lock().unwrap().acknowledged.extend(settled);
                }
            }
            Some(_) | None => {}
        }
        to.write_all(&frame.bytes).await?;
    }
}

/// Translates the tag, and returns the bodies of the settled messages. There are none if RabbitMQ must not get the frame,
/// because a message can be settled only once.
fn settle(tags: &mut Tags, frame: &mut Frame, method: (u16, u16)) -> Option<Vec<Vec<u8>>> {
    let given = usize::try_from(frame.settled_tag()).expect("a tag");
    let real = *tags.given.get(given.checked_sub(1)?)?;
    let multiple = method != REJECT && frame.multiple();
    let settled: Vec<u64> = if multiple {
        tags.out.range(..=real).map(|(tag, _)| *tag).collect()
    } else {
        tags.out.contains_key(&real).then_some(real).into_iter().collect()
    };
    frame.set_settled_tag(*settled.last()?);
    Some(settled.iter().filter_map(|tag| tags.out.remove(tag)).collect())
}

const OPEN: (u16, u16) = (20, 10);
const PUBLISH: (u16, u16) = (60, 40);
const DELIVER: (u16, u16) = (60, 60);
const ACK: (u16, u16) = (60, 80);
const REJECT: (u16, u16) = (60, 90);
const NACK: (u16, u16) = (60, 120);

/// Type, channel and length come before the payload, and one byte after it.
const HEAD: usize = 7;

/// One frame of AMQP 0-9-1.
#[derive(Debug)]
struct Frame {
    channel: u16,
    bytes: Vec<u8>,
}

impl Frame {
    async fn read(from: &mut OwnedReadHalf) -> io::Result<Self> {
        let mut bytes = vec![0; HEAD];
        from.read_exact(&mut bytes).await?;
        let length = u32::from_be_bytes(bytes[3..7].try_into().unwrap());
        bytes.resize(HEAD + usize::try_from(length).unwrap() + 1, 0);
        from.read_exact(&mut bytes[HEAD..]).await?;
        Ok(Self { channel: u16::from_be_bytes([bytes[1], bytes[2]]), bytes })
    }

    fn payload(&self) -> &[u8] {
        &self.bytes[HEAD..self.bytes.len() - 1]
    }

    /// Class and method, if it is a method.
    fn method(&self) -> Option<(u16, u16)> {
        let number = |at: usize| u16::from_be_bytes(self.payload()[at..at + 2].try_into().unwrap());
        (self.bytes[0] == 1).then(|| (number(0), number(2)))
    }

    /// Of a content header.
    fn body_size(&self) -> u64 {
        u64::from_be_bytes(self.payload()[4..12].try_into().unwrap())
    }

    /// Of `basic.publish`: behind two reserved bytes.
    fn exchange(&self) -> &str {
        let length = usize::from(self.payload()[6]);
        std::str::from_utf8(&self.payload()[7..7 + length]).unwrap()
    }

    /// Of `basic.deliver`, where its delivery tag begins: behind the consumer's tag.
    fn deliver_tag_at(&self) -> usize {
        HEAD + 5 + usize::from(self.payload()[4])
    }

    fn delivery_tag(&self) -> u64 {
        let at = self.deliver_tag_at();
        u64::from_be_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    fn set_delivery_tag(&mut self, tag: u64, redelivered: bool) {
        let at = self.deliver_tag_at();
        self.bytes[at..at + 8].copy_from_slice(&tag.to_be_bytes());
        self.bytes[at + 8] |= u8::from(redelivered);
    }

    /// Of `basic.ack`, `basic.reject` and `basic.nack`.
    fn settled_tag(&self) -> u64 {
        u64::from_be_bytes(self.payload()[4..12].try_into().unwrap())
    }

    fn set_settled_tag(&mut self, tag: u64) {
        self.bytes[HEAD + 4..HEAD + 12].copy_from_slice(&tag.to_be_bytes());
    }

    fn multiple(&self) -> bool {
        self.payload()[12] & 1 == 1
    }
}

/// Whether a method, its content header and all of its body are there.
fn complete(frames: &[Frame]) -> bool {
    let Some(header) = frames.get(1) else { return false };
    let body: usize = frames[2..].iter().map(|frame| frame.payload().len()).sum();
    body as u64 >= header.body_size()
}
