//! Opens a body as it was queued: decompresses it, takes off its wrappings, and finds the event or the events in it.
//! The router, the lanes' consumers and the file feed use it, so that all of them read a body in the same way.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::batch::{BATCH_EVENTS, Batch, NotUtf8};
use super::unpack::{unpack, unpack_start};
use super::unwrap::{InnerText, readable, unwrap};
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::segment::glimpse;
use crate::segment::text::check::BODY_LIMIT;
use crate::segment::text::kind::describe_text;
use crate::segment::text::malformed::no_json;
use crate::segment::{Glimpse, RoutingKeys, routing_keys};

/// What stands beside `batch` is added to each of its events. All events together may become this many times as large
/// as the largest body.
const MOST_GROWTH: usize = 4;

/// The settings by which bodies are opened. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Opener {
    unwrap: Arc<[String]>,
    max_batch: usize,
}

/// The content of a body.
#[derive(Debug)]
pub enum Opened {
    /// One event, or something that its lane refuses.
    One(SingleEvent),
    /// At least one event, of a batch.
    Many(Batch),
}

/// The only event of a body.
#[derive(Debug)]
pub struct SingleEvent {
    event: Result<Bytes, Refusal>,
    wrappings: Vec<RoutingKeys>,
}

/// A body that is refused as a whole, and the keys by which its account is found.
#[derive(Debug)]
pub struct Unopened {
    /// Why it is refused.
    pub refusal: Refusal,
    /// Those nearest to the events first.
    pub keys: Vec<RoutingKeys>,
}

impl From<Refusal> for Unopened {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, keys: Vec::new() }
    }
}

impl SingleEvent {
    /// The keys by which the event's account is found, its own first.
    pub fn keys(&self) -> Result<Vec<RoutingKeys>, Refusal> {
        let own = routing_keys(self.event.as_ref().map_err(Refusal::clone)?)?;
        Ok(std::iter::once(own).chain(self.wrappings.iter().cloned()).collect())
    }
}

impl Default for Opener {
    fn default() -> Self {
        Self::new(Vec::new(), Self::DEFAULT_MAX_BATCH)
    }
}

impl Opener {
    /// In bytes, where the configuration sets no limit.
    pub const DEFAULT_MAX_BATCH: usize = 16 * 1024 * 1024;

    /// `unwrap`: the keys under which an object without a `type` may hold events. `max_batch`: the largest body that
    /// holds several events, in bytes.
    pub fn new(unwrap: Vec<String>, max_batch: usize) -> Self {
        Self { unwrap: unwrap.into(), max_batch: max_batch.max(BODY_LIMIT) }
    }

    /// Opens a body of the intake queue. `origin` distinguishes the message from others with the same body, and is the
    /// same each time that the message is delivered.
    pub fn open(
        &self,
        body: &Bytes,
        encoding: Option<&str>,
        origin: impl fmt::Display,
    ) -> Result<Opened, Unopened> {
        if body.len() > self.max_batch {
            return Err(
                too_large(format!("at most {} bytes (`broker.max_batch`)", self.max_batch), body).into()
            );
        }
        let text = unpack(body, encoding, self.max_batch)?;
        let unwrapped = unwrap(&text, &self.unwrap);
        let text = match unwrapped.inner {
            InnerText::Event(event) => {
                return Ok(Opened::One(SingleEvent { event: Ok(event), wrappings: unwrapped.keys }));
            }
            InnerText::Nothing => {
                return Ok(Opened::One(SingleEvent { event: Ok(text), wrappings: unwrapped.keys }));
            }
            InnerText::Array(text) | InnerText::Batch(text) => text,
        };
        // Strings that are not UTF-8 pass: only the event that holds one is refused.
        serde_json::from_slice::<IgnoredAny>(&text).map_err(|error| no_json(&readable(&text), &error))?;
        let batch = Batch::split(&text, unwrapped.keys, self.unwrap.clone(), &origin.to_string())
            .map_err(|NotUtf8(name)| malformed(format!("`{name}` beside `batch` is not UTF-8"), None))?;
        let refused = |refusal: Refusal| Unopened { refusal, keys: batch.keys() };
        if batch.is_empty() {
            return Err(refused(empty()));
        }
        if batch.len() > BATCH_EVENTS {
            return Err(refused(too_large(format!("at most {BATCH_EVENTS} events in a batch"), body)));
        }
        if batch.outer_bytes().saturating_mul(batch.len()) > self.max_batch.saturating_mul(MOST_GROWTH) {
            let most = format!(
                "at most {MOST_GROWTH} times `broker.max_batch` in all for what stands beside `batch`, which counts for each event"
            );
            return Err(refused(too_large(most, body)));
        }
        Ok(Opened::Many(batch))
    }

    /// Opens a body of a lane's queue. It refuses only what cannot be an event; decoding refuses the rest.
    pub fn event(&self, body: &Bytes, encoding: Option<&str>) -> Result<Bytes, Refusal> {
        let text = unpack(body, encoding, BODY_LIMIT)?;
        if text.len() > BODY_LIMIT {
            return Ok(text);
        }
        let unwrapped = unwrap(&text, &self.unwrap);
        match unwrapped.inner {
            InnerText::Event(event) => Ok(event),
            InnerText::Nothing => Err(no_event_within(&self.unwrap)),
            InnerText::Array(inner) | InnerText::Batch(inner) => {
                if serde_json::from_slice::<IgnoredAny>(&inner).is_err() {
                    return Ok(inner);
                }
                let problem = "a batch where one event belongs: batches are split only on the intake queue, and not \
                               within one another";
                Err(malformed(problem.to_owned(), Some(describe_text(&readable(&inner)))))
            }
        }
    }

    /// Reads what it can of a body that is refused.
    pub fn glimpse(&self, body: &Bytes, encoding: Option<&str>) -> Glimpse {
        let start = unpack_start(body, encoding, BODY_LIMIT);
        let start = start.slice(..start.len().min(BODY_LIMIT));
        match unwrap(&start, &self.unwrap).inner {
            InnerText::Event(event) => glimpse(&event),
            InnerText::Array(_) | InnerText::Batch(_) | InnerText::Nothing => Glimpse::default(),
        }
    }
}

fn malformed(problem: String, got: Option<String>) -> Refusal {
    let expected =
        Some("one JSON object, or on the intake queue an array of them or `{\"batch\": [...]}`".into());
    Refusal::new(DeadLetterReason::MalformedJson, Problem { problem, expected, got, ..Problem::default() })
}

fn too_large(expected: String, body: &Bytes) -> Refusal {
    let problem = "the body is too large".to_owned();
    let (expected, got) = (Some(expected), Some(format!("a body of {} bytes", body.len())));
    Refusal::new(DeadLetterReason::TooLarge, Problem { problem, expected, got, ..Problem::default() })
}

fn empty() -> Refusal {
    let problem = "the batch holds no event".to_owned();
    let expected = Some("at least one event".to_owned());
    Refusal::new(DeadLetterReason::InvalidEvent, Problem { problem, expected, ..Problem::default() })
}

fn no_event_within(keys: &[String]) -> Refusal {
    let problem = "a CloudEvent that holds no event under any of the keys of `broker.unwrap`".to_owned();
    let expected = Some(format!("an event under {}", keys.join(", ")));
    Refusal::new(DeadLetterReason::InvalidEvent, Problem { problem, expected, ..Problem::default() })
}

#[cfg(test)]
mod tests;
