//! Hands deliveries to the client library whole and remembers which, or holds them back. For connections that look for a
//! message that the library cannot read.
//!
//! Pure, for any chunks of a broker's frames. It relies on nothing but the frames' lengths: their content need not be
//! readable. Frames that belong to no delivery pass as they come.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hasher as _;
use std::io::Read as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use amq_protocol::frame::parse_frame;
use siphasher::sip::SipHasher13;
use tokio::sync::Notify;

use crate::broker::transport::frames::wire::{
    BODY, CONTENT_HEADER, DELIVER, HEADER, HEARTBEAT, METHOD, START,
};

/// A hash of a message's body: the same each time that the message is delivered.
pub(in crate::broker) type Fingerprint = u64;

#[derive(Debug, Clone)]
pub(in crate::broker) enum Rule {
    /// All but these are handed on, once [`DeliveryFilter::open`] says of which channels. Until then all wait here: if a
    /// delivery ended the connection before its owner has all consumers, it would stay unknown which ones the library read.
    Without(BTreeSet<Fingerprint>),
    /// None is handed on, and these are kept.
    Keep(BTreeSet<Fingerprint>),
}

/// Was handed on to the client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Passed {
    pub(in crate::broker) channel: u16,
    pub(in crate::broker) fingerprint: Fingerprint,
}

/// Was kept back, to be made a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct Kept {
    /// The delivery tag, counted here: on a channel with one consumer.
    pub(in crate::broker) tag: u64,
    /// The bytes from the property flags on.
    pub(in crate::broker) properties: Vec<u8>,
    pub(in crate::broker) body: Vec<u8>,
}

/// One connection's filter, shared by its stream and its owner.
#[derive(Debug)]
pub(in crate::broker) struct DeliveryFilter {
    state: Mutex<FilterState>,
    changed: Notify,
}

#[derive(Debug)]
struct FilterState {
    rule: Rule,
    /// The bytes of a frame that is not whole yet.
    begun: Vec<u8>,
    /// Bytes to be handed on, and how many of them were.
    out: (Vec<u8>, usize),
    /// What came is no frame: all else passes as it comes.
    not_frames: bool,
    deliveries: HashMap<u16, Begun>,
    /// The channels whose deliveries are handed on; `None` until that is known.
    open: Option<BTreeSet<u16>>,
    /// Deliveries that wait for that: channel, fingerprint and frames.
    waiting: Vec<(u16, Fingerprint, Vec<u8>)>,
    /// The reader, while there is nothing to read.
    reader: Option<Waker>,
    /// Deliveries so far, by channel.
    counts: HashMap<u16, u64>,
    passed: Vec<Passed>,
    kept: Vec<Kept>,
    /// Deliveries that were not handed on, and that the client library's parser refuses.
    unreadable: BTreeSet<Fingerprint>,
}

/// A delivery that is not whole yet.
#[derive(Debug, Default)]
struct Begun {
    frames: Vec<u8>,
    /// The body's size, once its header is there.
    size: Option<u64>,
    properties: Vec<u8>,
    body: Vec<u8>,
}

impl DeliveryFilter {
    pub(in crate::broker) fn new(rule: Rule) -> Self {
        let state = FilterState {
            rule,
            begun: Vec::new(),
            out: (Vec::new(), 0),
            not_frames: false,
            deliveries: HashMap::new(),
            open: None,
            waiting: Vec::new(),
            reader: None,
            counts: HashMap::new(),
            passed: Vec::new(),
            kept: Vec::new(),
            unreadable: BTreeSet::new(),
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Returns when something was read since this was last awaited.
    pub(in crate::broker) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Hands on the deliveries of these channels, also those that came before.
    pub(in crate::broker) fn open(&self, channels: BTreeSet<u16>) {
        let mut state = self.lock();
        state.open = Some(channels);
        for (channel, fingerprint, frames) in std::mem::take(&mut state.waiting) {
            state.pass(channel, fingerprint, frames);
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    pub(in crate::broker) fn arrived(&self) -> u64 {
        self.lock().counts.values().sum()
    }

    /// The delivery that was handed on as the one with this number, from 0.
    pub(in crate::broker) fn passed(&self, number: usize) -> Option<Passed> {
        self.lock().passed.get(number).copied()
    }

    /// How many kept deliveries were not taken yet.
    pub(in crate::broker) fn kept(&self) -> usize {
        self.lock().kept.len()
    }

    /// The deliveries that the client library's parser would have refused, had they been handed on.
    pub(in crate::broker) fn unreadable(&self) -> BTreeSet<Fingerprint> {
        self.lock().unreadable.clone()
    }

    pub(in crate::broker) fn take_kept(&self) -> Vec<Kept> {
        std::mem::take(&mut self.lock().kept)
    }

    /// Takes bytes that follow on those before.
    pub(in crate::broker::transport) fn take(&self, bytes: &[u8]) {
        self.lock().take(bytes);
        self.changed.notify_one();
    }

    /// Hands on as much as there is and fits. `reader` is woken when more can be handed on.
    pub(in crate::broker::transport) fn hand(&self, to: &mut [u8], reader: &Waker) -> usize {
        let mut state = self.lock();
        state.reader = Some(reader.clone());
        let (out, handed) = &mut state.out;
        let mut ready = out.get(*handed..).unwrap_or_default();
        let count = ready.read(to).unwrap_or_default();
        *handed += count;
        if *handed == out.len() {
            out.clear();
            *handed = 0;
        }
        count
    }

    fn lock(&self) -> MutexGuard<'_, FilterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FilterState {
    fn take(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        let begun = std::mem::take(&mut self.begun);
        let mut rest = begun.as_slice();
        while !self.not_frames
            && let Some((start, behind)) = rest.split_first_chunk::<START>()
        {
            let [kind, channel_high, channel_low, size @ ..] = *start;
            if ![METHOD, HEADER, BODY, HEARTBEAT].contains(&kind) {
                self.not_frames = true;
                break;
            }
            let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
            let Some(payload) = behind.get(..size) else { break };
            let Some((frame, next)) = rest.split_at_checked(START.saturating_add(size).saturating_add(1))
            else {
                break;
            };
            self.frame(kind, u16::from_be_bytes([channel_high, channel_low]), payload, frame);
            rest = next;
        }
        if self.not_frames {
            self.out.0.extend_from_slice(rest);
        } else {
            self.begun = rest.to_vec();
        }
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8], frame: &[u8]) {
        if kind == METHOD {
            // Ends a delivery whose body is shorter than its header says.
            self.whole(channel);
            if payload.starts_with(&DELIVER) {
                self.deliveries.insert(channel, Begun { frames: frame.to_vec(), ..Begun::default() });
                return;
            }
        }
        let Some(delivery) = self.deliveries.get_mut(&channel).filter(|_| kind == HEADER || kind == BODY)
        else {
            self.out.0.extend_from_slice(frame);
            return;
        };
        delivery.frames.extend_from_slice(frame);
        if kind == HEADER {
            let size = payload.get(4..CONTENT_HEADER).and_then(|size| size.try_into().ok());
            delivery.size = Some(size.map_or(0, u64::from_be_bytes));
            delivery.properties = payload.get(CONTENT_HEADER..).unwrap_or_default().to_vec();
        } else {
            delivery.body.extend_from_slice(payload);
        }
        let there = u64::try_from(delivery.body.len()).unwrap_or(u64::MAX);
        if delivery.size.is_some_and(|size| there >= size) {
            self.whole(channel);
        }
    }

    /// Decides what becomes of a channel's delivery.
    fn whole(&mut self, channel: u16) {
        let Some(Begun { frames, properties, body, .. }) = self.deliveries.remove(&channel) else { return };
        let tag = self.counts.entry(channel).or_default();
        *tag += 1;
        let fingerprint = fingerprint(&body);
        if matches!(self.rule, Rule::Keep(_)) && !parses(&frames) {
            self.unreadable.insert(fingerprint);
        }
        match &self.rule {
            Rule::Without(fingerprints) if fingerprints.contains(&fingerprint) => {}
            Rule::Without(_) => self.pass(channel, fingerprint, frames),
            Rule::Keep(fingerprints) if fingerprints.contains(&fingerprint) => {
                self.kept.push(Kept { tag: *tag, properties, body });
            }
            Rule::Keep(_) => {}
        }
    }

    fn pass(&mut self, channel: u16, fingerprint: Fingerprint, frames: Vec<u8>) {
        match &self.open {
            None => self.waiting.push((channel, fingerprint, frames)),
            Some(channels) if channels.contains(&channel) => {
                self.out.0.extend(frames);
                self.passed.push(Passed { channel, fingerprint });
            }
            Some(_) => {}
        }
    }
}

/// Whether these are frames that the client library reads.
fn parses(mut frames: &[u8]) -> bool {
    while !frames.is_empty() {
        let Ok((behind, _)) = parse_frame(frames) else { return false };
        frames = behind;
    }
    true
}

fn fingerprint(body: &[u8]) -> Fingerprint {
    let mut hasher = SipHasher13::new();
    hasher.write(body);
    hasher.finish()
}

#[cfg(test)]
mod tests;
