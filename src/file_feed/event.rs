//! An event of the file, and what the line that it stood in says beside its body.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::dead_letter::{DeadLetter, Letter};
use crate::delivery::{TRACEPARENT, TraceId};
use crate::segment::{BATCH_EVENTS, Batch, EventBody};

/// An event's tag is its line's number, shifted left by so many bits, plus its place in the line.
const PLACES: u32 = 13;
const _: () = assert!(BATCH_EVENTS <= 1 << PLACES, "a place for every event");

/// The property of a letter that says how its body is packed.
const CONTENT_ENCODING: &str = "content_encoding";

/// A line without its body. All but the number comes from a dead letter, and is empty where the line is an event itself.
#[derive(Debug, Default)]
pub(super) struct SourceLine {
    pub(super) number: u64,
    pub(super) account: Option<String>,
    headers: Map<String, Value>,
    properties: Map<String, Value>,
    replays: i64,
}

#[derive(Debug)]
pub(super) struct FileEvent {
    pub(super) line: Arc<SourceLine>,
    /// Which event of the line it is.
    pub(super) place: u64,
    pub(super) body: EventBody,
    /// How many bytes are held of it. A letter's headers are not counted: they are few.
    pub(super) bytes: u64,
}

impl SourceLine {
    /// A line without a letter's headers.
    pub(super) fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// Splits a line into its body and the rest. A dead letter counts as sent back once more.
    pub(super) fn read(number: u64, line: Bytes) -> (Self, Bytes) {
        let Some(letter) = Letter::from_line(&line) else { return (Self::new(number), line) };
        (Self::of_letter(number, &letter, letter.account()), letter.body)
    }

    /// What a letter says beside its body. `account`: the one that it names.
    pub(super) fn of_letter(number: u64, letter: &Letter, account: Option<&str>) -> Self {
        let (headers, properties) = (letter.kept_headers(), letter.properties.clone());
        Self { number, account: account.map(str::to_owned), replays: letter.replays(), headers, properties }
    }

    pub(super) fn encoding(&self) -> Option<&str> {
        self.properties.get(CONTENT_ENCODING)?.as_str()
    }

    /// A dead letter has the header that its event came with.
    pub(super) fn trace_id(&self) -> Option<TraceId> {
        TraceId::from_traceparent(self.headers.get(TRACEPARENT)?.as_str()?)
    }

    /// For an event of a packed batch: the event itself is not packed.
    fn unpacked(&self) -> Self {
        let mut properties = self.properties.clone();
        properties.shift_remove(CONTENT_ENCODING);
        Self {
            number: self.number,
            account: self.account.clone(),
            headers: self.headers.clone(),
            properties,
            replays: self.replays,
        }
    }
}

impl FileEvent {
    /// The only event of a line, or a line that is refused as a whole.
    pub(super) fn whole(line: SourceLine, body: Bytes) -> Self {
        let bytes = body.len() as u64;
        Self { line: Arc::new(line), place: 0, body: EventBody::Whole(body), bytes }
    }

    pub(super) fn tag(&self) -> u64 {
        (self.line.number << PLACES) + self.place
    }

    pub(super) fn into_letter(self, dead: &DeadLetter<'_>) -> Letter {
        let (mut headers, properties) = (self.line.headers.clone(), self.line.properties.clone());
        headers.extend(dead.headers(self.line.replays));
        Letter { headers, properties, routing_key: dead.routing_key(), body: self.body.bytes() }
    }
}

/// A batch, while its events are handed over one by one.
#[derive(Debug)]
pub(super) struct Splitting {
    line: Arc<SourceLine>,
    batch: Arc<Batch>,
    next: usize,
}

impl Splitting {
    pub(super) fn new(line: &SourceLine, batch: Batch) -> Self {
        Self { line: Arc::new(line.unpacked()), batch: Arc::new(batch), next: 0 }
    }

    pub(super) fn is_over(&self) -> bool {
        self.next >= self.batch.len()
    }

    /// The next event, and the batch that names its account.
    pub(super) fn next_event(&mut self) -> (FileEvent, Arc<Batch>) {
        let index = self.next;
        self.next += 1;
        let body = EventBody::Part(self.batch.clone(), index);
        let bytes = body.bytes().len() as u64;
        (FileEvent { line: self.line.clone(), place: index as u64, body, bytes }, self.batch.clone())
    }
}
