//! Makes deliveries unreadable between RabbitMQ and a client, in place of a fault in the client library.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What is wrong with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distortion {
    /// The frame of its properties does not end as a frame should.
    HeaderEnd,
    /// A string in the arguments of `basic.deliver` is longer than the frame.
    Arguments,
    /// The last frame of its body does not end as a frame should.
    BodyEnd,
}

/// Distorts deliveries that contain this text, and counts how often a client cancels a consumer.
#[derive(Debug, Clone, Default)]
pub struct Distortions(Arc<Mutex<Vec<Rule>>>, Arc<AtomicUsize>);

#[derive(Debug)]
struct Rule {
    marker: Vec<u8>,
    distortion: Distortion,
    struck: usize,
}

impl Distortions {
    pub fn add(&self, marker: &str, distortion: Distortion) {
        self.0.lock().unwrap().push(Rule { marker: marker.into(), distortion, struck: 0 });
    }

    /// How often deliveries with this text were distorted.
    pub fn struck(&self, marker: &str) -> usize {
        let all = self.0.lock().unwrap();
        all.iter().filter(|rule| rule.marker == marker.as_bytes()).map(|rule| rule.struck).sum()
    }

    /// How often consumers were cancelled on connections that were distorted.
    pub fn cancellations(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }

    pub fn are_none(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    fn strike(&self, frames: &mut [Vec<u8>]) {
        let whole = frames.concat();
        for Rule { marker, distortion, struck } in self.0.lock().unwrap().iter_mut() {
            if !whole.windows(marker.len()).any(|part| part == marker.as_slice()) {
                continue;
            }
            *struck += 1;
            let last = frames.len() - 1;
            match distortion {
                Distortion::HeaderEnd => *frames[1].last_mut().unwrap() = 0,
                Distortion::BodyEnd => *frames[last].last_mut().unwrap() = 0,
                // Behind start, class and method: the length of the consumer tag.
                Distortion::Arguments => frames[0][11] = 255,
            }
        }
    }
}

/// One connection's frames to RabbitMQ: counts those that cancel a consumer.
#[derive(Debug)]
pub struct Cancellations {
    distortions: Distortions,
    begun: Vec<u8>,
    /// The client has said which protocol it speaks.
    greeted: bool,
}

impl Cancellations {
    pub fn new(distortions: Distortions) -> Self {
        Self { distortions, begun: Vec::new(), greeted: false }
    }

    pub fn pass(&mut self, bytes: &[u8]) {
        self.begun.extend(bytes);
        if !self.greeted && self.begun.len() >= 8 {
            self.begun.drain(..8);
            self.greeted = true;
        }
        while self.greeted && self.begun.len() >= 7 {
            let size = u32::from_be_bytes(self.begun[3..7].try_into().unwrap()) as usize;
            if self.begun.len() < size + 8 {
                break;
            }
            if self.begun[0] == 1 && self.begun[7..].starts_with(&[0, 60, 0, 30]) {
                self.distortions.1.fetch_add(1, Ordering::SeqCst);
            }
            self.begun.drain(..size + 8);
        }
    }
}

/// One connection's frames from RabbitMQ.
#[derive(Debug)]
pub struct Distorter {
    distortions: Distortions,
    begun: Vec<u8>,
    /// Frames of deliveries that have not fully arrived, by channel.
    deliveries: HashMap<[u8; 2], Vec<Vec<u8>>>,
}

impl Distorter {
    pub fn new(distortions: Distortions) -> Self {
        Self { distortions, begun: Vec::new(), deliveries: HashMap::new() }
    }

    /// The bytes to pass on for these.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.begun.extend(bytes);
        let mut out = Vec::new();
        while self.begun.len() >= 7 {
            let size = u32::from_be_bytes(self.begun[3..7].try_into().unwrap()) as usize;
            if self.begun.len() < size + 8 {
                break;
            }
            let behind = self.begun.split_off(size + 8);
            let frame = std::mem::replace(&mut self.begun, behind);
            self.frame(frame, &mut out);
        }
        out
    }

    fn frame(&mut self, frame: Vec<u8>, out: &mut Vec<u8>) {
        let channel = [frame[1], frame[2]];
        if frame[0] == 1 && frame[7..].starts_with(&[0, 60, 0, 60]) {
            self.deliveries.insert(channel, vec![frame]);
            return;
        }
        let Some(frames) = self.deliveries.get_mut(&channel).filter(|_| frame[0] == 2 || frame[0] == 3)
        else {
            out.extend(frame);
            return;
        };
        frames.push(frame);
        let size = u64::from_be_bytes(frames[1][11..19].try_into().unwrap());
        let there: usize = frames[2..].iter().map(|frame| frame.len() - 8).sum();
        if there as u64 >= size {
            let mut frames = self.deliveries.remove(&channel).unwrap();
            self.distortions.strike(&mut frames);
            out.extend(frames.concat());
        }
    }
}
