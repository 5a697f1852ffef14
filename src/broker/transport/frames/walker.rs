//! Walks over the frames that a broker sends and makes them readable in place. Pure, and for any chunks.
//!
//! A frame of a method or of properties is held until all of it is there; all others pass as they come. Bytes that are no
//! frame pass, too, and everything after them: the client library then ends the connection, as it must. A frame with a
//! wrong end or one that is cut off passes unchanged.

use super::fields::{FieldReader, Malformed, Repair, Repairs, big_endian};
use super::oversize;
use super::properties;
use super::wire::{BODY, CONTENT_HEADER, DELIVER, END, FRAME_MIN, HEADER, HEARTBEAT, METHOD, START, TUNE};
use crate::broker::transport::deliveries::recent::Ring;

/// A frame larger than this is not held: no broker allows it.
const MOST_HELD: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone, Copy)]
enum Part {
    /// So many bytes with any content.
    Skip(usize),
    Text,
}
use Part::{Skip, Text};

/// The methods with short strings that need not be UTF-8, and their arguments up to the last such string: names that
/// publishers chose, and the broker's own words, which it cuts at 255 bytes.
const METHODS: [([u8; 4], &[Part]); 8] = [
    (DELIVER, &[Text, Skip(9), Text, Text]),
    // basic.return: code, text, exchange, routing key
    ([0, 60, 0, 50], &[Skip(2), Text, Text, Text]),
    // basic.get-ok: delivery tag and redelivered, exchange, routing key
    ([0, 60, 0, 71], &[Skip(9), Text, Text]),
    // basic.cancel: consumer tag
    ([0, 60, 0, 30], &[Text]),
    // queue.declare-ok: name
    ([0, 50, 0, 11], &[Text]),
    // connection.close and channel.close: code, text
    ([0, 10, 0, 50], &[Skip(2), Text]),
    ([0, 20, 0, 40], &[Skip(2), Text]),
    // connection.blocked: reason
    ([0, 10, 0, 60], &[Text]),
];

/// One connection's frames, one after another.
#[derive(Debug)]
pub(in crate::broker::transport) struct Walker {
    /// The largest frame that the client library takes.
    frame_max: usize,
    /// How many of the next bytes pass as they are.
    passing: u64,
    /// What came is no frame: all else passes as it comes.
    not_frames: bool,
    changed: Option<(u16, Repairs)>,
}

impl Walker {
    /// `frame_max` is what this side allows.
    pub(in crate::broker::transport) fn new(frame_max: u32) -> Self {
        let frame_max = usize::try_from(frame_max).unwrap_or(usize::MAX).max(FRAME_MIN);
        Self { frame_max, passing: 0, not_frames: false, changed: None }
    }

    /// Walks over the next bytes. Returns how many of them can be handed on; the rest must be passed in again, with the
    /// bytes that follow.
    pub(in crate::broker::transport) fn walk(&mut self, bytes: &mut [u8], ring: &mut Ring) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..)
            && !rest.is_empty()
        {
            if self.not_frames {
                return bytes.len();
            }
            if self.passing > 0 {
                let left = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                let pass = self.passing.min(left);
                self.passing -= pass;
                done += usize::try_from(pass).unwrap_or(rest.len());
                continue;
            }
            let Some((start, behind)) = rest.split_first_chunk_mut::<START>() else { break };
            let [kind, channel_high, channel_low, size @ ..] = *start;
            let channel = u16::from_be_bytes([channel_high, channel_low]);
            let size = u32::from_be_bytes(size);
            match (kind, usize::try_from(size)) {
                (METHOD | HEADER, Ok(size)) if size <= MOST_HELD => {
                    let Some(frame) = behind.get_mut(..=size) else { break };
                    if let Some((&mut END, payload)) = frame.split_last_mut() {
                        self.payload(kind, channel, payload, ring);
                    }
                    let length = START + size + 1;
                    if kind == HEADER
                        && length > self.frame_max
                        && let Some(frame) = rest.get_mut(..length)
                    {
                        self.cut(channel, frame);
                    }
                    done += length;
                }
                (BODY | HEARTBEAT, _) => self.passing = u64::from(size) + (START as u64) + 1,
                _ => self.not_frames = true,
            }
        }
        done
    }

    /// The largest frame that both sides take, in bytes, once they have agreed on it.
    pub(in crate::broker::transport) fn frame_max(&self) -> usize {
        self.frame_max
    }

    /// The latest changes since the last call, and their channel.
    pub(in crate::broker::transport) fn take_changed(&mut self) -> Option<(u16, Repairs)> {
        self.changed.take()
    }

    fn payload(&mut self, kind: u8, channel: u16, payload: &mut [u8], ring: &mut Ring) {
        let mut changes = Repairs::default();
        if kind == METHOD {
            self.method(channel, payload, &mut changes, ring);
        } else if let Some(properties) = payload.get_mut(CONTENT_HEADER..) {
            let message_id = properties::walk(properties, &mut changes);
            ring.properties(channel, message_id);
        }
        if changes.any() {
            self.changed = Some((channel, changes));
        }
    }

    fn method(&mut self, channel: u16, payload: &mut [u8], changes: &mut Repairs, ring: &mut Ring) {
        let Some((name, arguments)) = payload.split_first_chunk_mut::<4>() else { return };
        if *name == TUNE {
            self.tune(arguments);
        }
        let Some((_, parts)) = METHODS.iter().find(|(known, _)| known == name) else { return };
        // A method with other arguments is left as it is.
        if texts(arguments, parts, changes).is_ok() && *name == DELIVER {
            ring.delivery(channel, arguments);
        }
    }

    /// The broker names its limits; the client library agrees to the smaller one of this and its own.
    fn tune(&mut self, arguments: &[u8]) {
        // After `channel_max`.
        let theirs = arguments.get(2..6).map(big_endian).and_then(|size| usize::try_from(size).ok());
        if let Some(theirs) = theirs.filter(|size| *size > 0) {
            self.frame_max = self.frame_max.min(theirs.max(FRAME_MIN));
        }
    }

    /// RabbitMQ does not check the size of the properties that it sends. It may have added headers to a frame that the
    /// sender filled, when it delivered the message again; or `frame_max` was larger when the message came.
    fn cut(&mut self, channel: u16, frame: &mut [u8]) {
        if oversize::cut(frame, self.frame_max).is_ok() {
            let (_, mut changes) = self.changed.take().unwrap_or_default();
            changes.note(Repair::Size);
            self.changed = Some((channel, changes));
        }
    }
}

fn texts(arguments: &mut [u8], parts: &[Part], changes: &mut Repairs) -> Result<(), Malformed> {
    let mut fields = FieldReader::of(arguments);
    for part in parts {
        match part {
            Skip(count) => _ = fields.take(*count)?,
            Text => _ = fields.short_string(changes)?,
        }
    }
    Ok(())
}
