//! Cuts the frames that the client library sends for a broker whose `frame_max` is smaller than the library accepts. Pure.
//!
//! The library agrees to no less than 8192 bytes, and a broker may allow 4096 and would refuse each connection. So
//! `tune-ok` is changed to what the broker allows, and bodies are then sent in smaller pieces. Properties are kept small
//! where they are made. With any other broker all this ends at `tune-ok`.

use super::wire::{BODY, END, METHOD, START, TUNE_OK};

/// The smallest `frame_max` that the client library agrees to, in bytes.
const LIBRARY_MIN: usize = 8192;
/// The length of the protocol header, which is no frame.
const OPENING: usize = 8;
/// Where `frame_max` stands in the frame of `tune-ok`: after class, method and `channel_max`.
const AGREED: usize = START + 4 + 2;

/// One connection's frames on their way out.
#[derive(Debug, Default)]
pub(in crate::broker::transport) struct Outgoing {
    opened: bool,
    agreed: bool,
    /// The bytes of a frame that is not whole yet.
    held: Vec<u8>,
    ready: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Takes the next bytes. `frame_max` is what the broker allows.
    pub(in crate::broker::transport) fn take(&mut self, bytes: &[u8], frame_max: usize) {
        self.held.extend_from_slice(bytes);
        while let Some(length) = self.next() {
            let rest = self.held.split_off(length);
            let frame = std::mem::replace(&mut self.held, rest);
            if self.opened {
                self.put(frame, frame_max);
            } else {
                self.opened = true;
                self.ready.extend(frame);
            }
        }
    }

    pub(in crate::broker::transport) fn ready(&self) -> &[u8] {
        self.ready.get(self.sent..).unwrap_or_default()
    }

    pub(in crate::broker::transport) fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.ready.len() {
            self.ready.clear();
            self.sent = 0;
        }
    }

    /// Whether nothing more has to be changed, and all is sent.
    pub(in crate::broker::transport) fn done(&self, frame_max: usize) -> bool {
        self.agreed && frame_max >= LIBRARY_MIN && self.held.is_empty() && self.ready.is_empty()
    }

    /// The length of the first frame that is held, if it is whole.
    fn next(&self) -> Option<usize> {
        let length = if self.opened {
            let size = self.held.get(3..START)?.try_into().ok()?;
            START + usize::try_from(u32::from_be_bytes(size)).ok()? + 1
        } else {
            OPENING
        };
        (self.held.len() >= length).then_some(length)
    }

    fn put(&mut self, mut frame: Vec<u8>, frame_max: usize) {
        let is_tune_ok = frame.first() == Some(&METHOD) && frame.get(START..START + 4) == Some(&TUNE_OK);
        if is_tune_ok && let Some(agreed) = frame.get_mut(AGREED..AGREED + 4) {
            self.agreed = true;
            if frame_max < LIBRARY_MIN
                && let Ok(size) = u32::try_from(frame_max)
            {
                agreed.copy_from_slice(&size.to_be_bytes());
            }
        }
        let payload = frame.get(START..frame.len() - 1).unwrap_or_default();
        let most = frame_max - (START + 1);
        if self.agreed && frame.first() == Some(&BODY) && payload.len() > most {
            for part in payload.chunks(most) {
                // Type and channel.
                self.ready.extend(frame.get(..3).unwrap_or_default());
                self.ready.extend(u32::try_from(part.len()).unwrap_or_default().to_be_bytes());
                self.ready.extend(part);
                self.ready.push(END);
            }
        } else {
            self.ready.append(&mut frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::frame::AMQPFrame;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::broker::transport::tests::{frame, header, only, read};
    use crate::fuzz::feed;

    fn tune_ok(frame_max: u32) -> Vec<u8> {
        frame(1, 0, &[&[0, 10, 0, 31, 7, 255][..], &frame_max.to_be_bytes(), &[0, 60]].concat())
    }

    /// What is sent of these bytes, taken in two parts.
    fn sent(bytes: &[u8], at: usize, frame_max: usize) -> (Vec<u8>, bool) {
        let mut outgoing = Outgoing::default();
        let mut sent = Vec::new();
        for part in [&bytes[..at], &bytes[at..]] {
            outgoing.take(part, frame_max);
            let count = outgoing.ready().len().div_ceil(2);
            for count in [count, outgoing.ready().len() - count] {
                sent.extend(&outgoing.ready()[..count]);
                outgoing.sent(count);
            }
        }
        (sent, outgoing.done(frame_max))
    }

    #[test]
    fn what_fits_the_broker_goes_as_it_is_and_then_past_this() {
        for allowed in [8192, 131_072] {
            let opening = [&b"AMQP\0\0\x09\x01"[..], &tune_ok(8192), &frame(3, 1, &[b'x'; 8184])].concat();
            assert_eq!(sent(&opening, 30, allowed), (opening, true));
        }
    }

    #[test]
    fn a_broker_with_smaller_frames_than_the_library_knows_gets_such() {
        let bodies = (0_usize..8185, any::<u8>()).prop_map(|(size, byte)| vec![byte; size]);
        let inputs = (prop::collection::vec(bodies, 0..6), any::<Index>(), 4096_usize..8192);
        feed("small frames", &inputs, |(bodies, at, frame_max)| {
            let mut opening = [&b"AMQP\0\0\x09\x01"[..], &tune_ok(8192)].concat();
            for body in &bodies {
                opening.extend(header(1, &only(3, b"\x01a")));
                opening.extend(frame(3, 1, body));
            }
            let (sent, done) = sent(&opening, at.index(opening.len()), frame_max);
            prop_assert!(!done);
            let agreed = u32::try_from(frame_max).unwrap();
            let rest = sent[8..].strip_prefix(tune_ok(agreed).as_slice()).unwrap();
            let mut arrived = Vec::new();
            for frame in read(rest).unwrap() {
                if let AMQPFrame::Body(1, part) = frame {
                    prop_assert!(part.len() + 8 <= frame_max);
                    arrived.extend(part);
                }
            }
            prop_assert_eq!(arrived, bodies.concat());
            Ok(())
        });
    }
}
