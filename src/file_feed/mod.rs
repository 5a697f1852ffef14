//! A file in RabbitMQ's place: the same deliveries, the same receipts. A line is an event or a batch of them. It may also
//! be a dead letter, which is sent back: what it holds counts as replayed once more, and goes to the account that the
//! letter names.

mod lines;
mod progress;

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dead_letter::{DeadLetter, Letter};
use crate::delivery::{
    AccountName, Delivery, HeldBytes, LaneInlet, Lease, Receipt, Session, Settlement, UNROUTED, beside,
};
use crate::metrics::Metrics;
use crate::outcome::{Outcome, Refusal};
use crate::routing::AccountIndex;
use crate::segment::{BATCH_EVENTS, Batch, EventBody, Opened, Opener, RoutingKeys, Unopened};
pub use lines::read_lines;
pub use progress::{Counts, Progress};

/// Keeps a dead letter. The event counts as settled only when it returns `Ok`.
pub type Keep = Box<dyn FnMut(Letter) -> std::io::Result<()> + Send>;

/// The feed: where lines come from, and where they go.
pub struct Feed {
    /// Finds an event's account.
    pub directory: AccountIndex,
    /// Reads bodies.
    pub opener: Opener,
    /// One per account.
    pub lanes: Vec<LaneInlet>,
    /// Unsettled events per account.
    pub prefetch: u16,
    /// How many bytes of events it holds. Lines come in one after another, so only all accounts together are bounded.
    pub held: HeldBytes,
    /// For events without an account.
    pub metrics: Arc<Metrics>,
    /// Counts along.
    pub progress: Arc<Progress>,
    /// Takes the dead letters.
    pub keep: Keep,
}

/// Why the feed ended early.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Told to stop before the events ended.
    #[error("told to stop before the events ended")]
    Stopped,
    /// The events cannot be read on.
    #[error("cannot read on after line {line}: {source}")]
    Unreadable {
        /// The last line read.
        line: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// A dead letter cannot be kept.
    #[error("cannot write a dead letter: {0}")]
    Unkept(std::io::Error),
    /// A lane ended.
    #[error("a lane ended early; this is a bug")]
    LaneGone,
}

/// A line, or what is beside the body in the letter that it is.
struct Line {
    number: u64,
    /// The account that the letter names.
    account: Option<String>,
    headers: Map<String, Value>,
    properties: Map<String, Value>,
    replays: i64,
}

/// An event as it was read.
struct Event {
    line: Arc<Line>,
    content: EventBody,
    /// What is held of it. A letter's headers are few beside it.
    bytes: u64,
}

/// An event on its way.
struct Pending {
    account: AccountName,
    event: Event,
}

/// A batch that is not wholly fed yet.
struct Splitting {
    line: Arc<Line>,
    batch: Arc<Batch>,
    next: usize,
}

/// What an event is on its way under: its line's number, so much to the left, plus its place in the line.
const PLACES: u32 = 13;
const _: () = assert!(BATCH_EVENTS <= 1 << PLACES, "a place for every event");

impl Line {
    fn encoding(&self) -> Option<&str> {
        self.properties.get(CONTENT_ENCODING)?.as_str()
    }

    /// The same for one event of a packed batch, which is not packed.
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

/// How a letter's properties call it.
const CONTENT_ENCODING: &str = "content_encoding";

type Doors = HashMap<AccountName, mpsc::Sender<Delivery>>;

impl Feed {
    /// Feeds every line and waits until each is settled, or until `stop`.
    pub async fn run(
        mut self,
        input: Box<dyn Read + Send>,
        stop: CancellationToken,
    ) -> Result<(), FeedError> {
        let mut lines = read_lines(input);
        // Every channel holds all that may be under way, so that nothing here ever waits for room.
        let capacity = usize::from(self.prefetch) * self.lanes.len().max(1);
        let (settle, mut settlements) = mpsc::channel::<Settlement>(capacity);
        let mut doors = self.open(capacity).await?;
        let mut pending: HashMap<u64, Pending> = HashMap::new();
        let mut line = 0;
        let mut splitting: Option<Splitting> = None;
        let mut failed = None;
        loop {
            let reading = !doors.is_empty();
            if !reading {
                splitting = None;
            }
            if !reading && pending.is_empty() {
                break;
            }
            let room = pending.is_empty() || !self.held.full();
            let step = tokio::select! {
                biased;
                Some(settlement) = settlements.recv() => self.settle(&settlement, &mut pending),
                () = stop.cancelled(), if reading => Err(FeedError::Stopped),
                () = std::future::ready(()), if splitting.is_some() && room && pending.len() < capacity => {
                    self.feed_next(&mut splitting, &doors, &settle, &mut pending)
                }
                read = lines.recv(), if reading && splitting.is_none() && room && pending.len() < capacity => match read {
                    None => {
                        doors.clear();
                        Ok(())
                    }
                    Some(Err(source)) => Err(FeedError::Unreadable { line, source }),
                    Some(Ok(body)) => {
                        line += 1;
                        self.feed(line, body.into(), &doors, &settle, &mut pending).map(|many| splitting = many)
                    }
                },
            };
            if let Err(error) = step {
                failed.get_or_insert(error);
                doors.clear();
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Opens one session in every lane.
    async fn open(&mut self, capacity: usize) -> Result<Doors, FeedError> {
        let mut doors = HashMap::new();
        // Taken, so that the lanes see the end once their session is done.
        for door in std::mem::take(&mut self.lanes) {
            let (deliver, deliveries) = mpsc::channel(capacity);
            let session = Session { deliveries, lost: CancellationToken::new(), lease: Lease::ENDLESS };
            door.sessions.send(session).await.map_err(|_| FeedError::LaneGone)?;
            doors.insert(door.account.clone(), deliver);
        }
        Ok(doors)
    }

    /// Feeds what a line holds. A batch is handed back, to be fed event by event as there is room.
    fn feed(
        &mut self,
        number: u64,
        body: Bytes,
        doors: &Doors,
        settle: &mpsc::Sender<Settlement>,
        pending: &mut HashMap<u64, Pending>,
    ) -> Result<Option<Splitting>, FeedError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let letter = Letter::from_line(&body);
        let body = letter.as_ref().map_or(body, |letter| letter.body.clone());
        let line = Arc::new(Line {
            number,
            account: letter.as_ref().and_then(Letter::account).map(str::to_owned),
            replays: letter.as_ref().map_or(0, Letter::replays),
            headers: letter.as_ref().map(Letter::kept_headers).unwrap_or_default(),
            properties: letter.map(|letter| letter.properties).unwrap_or_default(),
        });
        // Equal lines are different events, as two messages would be.
        let opened = self.opener.open(&body, line.encoding(), &number.to_string());
        let event = Event { line, bytes: body.len() as u64, content: EventBody::Whole(body) };
        match opened {
            Ok(Opened::Many(batch)) => {
                let line = Arc::new(event.line.unpacked());
                Ok(Some(Splitting { line, batch: Arc::new(batch), next: 0 }))
            }
            Ok(Opened::One(one)) => {
                self.feed_event(0, event, || one.keys(), doors, settle, pending).map(|()| None)
            }
            Err(Unopened { refusal, keys }) => {
                self.progress.edit(|counts| counts.read += 1);
                let account = self.find(&event.line, || Ok(keys)).ok();
                self.refuse(account.as_ref(), event, &refusal).map(|()| None)
            }
        }
    }

    /// Feeds the next event of a batch.
    fn feed_next(
        &mut self,
        splitting: &mut Option<Splitting>,
        doors: &Doors,
        settle: &mpsc::Sender<Settlement>,
        pending: &mut HashMap<u64, Pending>,
    ) -> Result<(), FeedError> {
        let Some(Splitting { line, batch, next }) = splitting else { return Ok(()) };
        let index = *next;
        *next += 1;
        let (line, batch, fed) = (line.clone(), batch.clone(), *next == batch.len());
        if fed {
            *splitting = None;
        }
        let content = EventBody::Part(batch.clone(), index);
        let bytes = content.bytes().len() as u64;
        let event = Event { line, content, bytes };
        self.feed_event(index as u64, event, || batch.keys_of(index), doors, settle, pending)
    }

    fn feed_event(
        &mut self,
        place: u64,
        mut event: Event,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
        doors: &Doors,
        settle: &mpsc::Sender<Settlement>,
        pending: &mut HashMap<u64, Pending>,
    ) -> Result<(), FeedError> {
        self.progress.edit(|counts| counts.read += 1);
        let account = match self.find(&event.line, keys) {
            Ok(account) => account,
            Err(refusal) => return self.refuse(None, event, &refusal),
        };
        let whole = event.content.bytes();
        let body = match self.opener.event(&whole, event.line.encoding()) {
            Ok(body) => body,
            Err(refusal) => return self.refuse(Some(&account), event, &refusal),
        };
        let (Some(door), Ok(place_for_answer)) = (doors.get(&account), settle.clone().try_reserve_owned())
        else {
            return Err(FeedError::LaneGone);
        };
        event.bytes += beside(&whole, &body) as u64;
        self.held.add(event.bytes);
        let tag = (event.line.number << PLACES) + place;
        pending.insert(tag, Pending { account, event });
        let receipt = Receipt::new(tag, place_for_answer, self.metrics.receipts_dropped.clone());
        let queued_at = Timestamp::now();
        let sent = door.try_send(Delivery { body, queued_at, copied: false, redelivered: false, receipt });
        if let Err(refused) = sent {
            refused.into_inner().receipt.settle(Outcome::Returned, 0);
        }
        Ok(())
    }

    fn find(
        &self,
        line: &Line,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
    ) -> Result<AccountName, Refusal> {
        self.directory.find(line.account.as_deref().map(Some), keys)
    }

    /// Makes a dead letter of an event that no lane sees.
    fn refuse(
        &mut self,
        account: Option<&AccountName>,
        event: Event,
        refusal: &Refusal,
    ) -> Result<(), FeedError> {
        let seen = self.opener.glimpse(&event.content.bytes(), event.line.encoding());
        let dead = DeadLetter { refusal, account, seen: &seen, attempts: 0, failed_at: Timestamp::now() };
        dead.count_as_received(&self.metrics.account(account.map_or(UNROUTED, |name| name)));
        self.bury(&dead, event)
    }

    fn settle(
        &mut self,
        settlement: &Settlement,
        pending: &mut HashMap<u64, Pending>,
    ) -> Result<(), FeedError> {
        let Some(Pending { account, event }) = pending.remove(&settlement.tag) else { return Ok(()) };
        self.held.remove(event.bytes);
        let name = account.to_string();
        match &settlement.outcome {
            Outcome::Delivered => {
                self.progress.edit(|counts| *counts.delivered.entry(name).or_default() += 1);
            }
            Outcome::Skipped(reason) => {
                let key = (name, reason.as_str());
                self.progress.edit(|counts| *counts.skipped.entry(key).or_default() += 1);
            }
            Outcome::DeadLetter(refusal) => {
                let seen = self.opener.glimpse(&event.content.bytes(), event.line.encoding());
                let (account, attempts) = (Some(&account), settlement.attempts);
                let failed_at = Timestamp::now();
                let dead = DeadLetter { refusal, account, seen: &seen, attempts, failed_at };
                return self.bury(&dead, event);
            }
            Outcome::Returned => self.progress.edit(|counts| counts.returned += 1),
        }
        Ok(())
    }

    fn bury(&mut self, dead: &DeadLetter<'_>, event: Event) -> Result<(), FeedError> {
        let (body, line) = (event.content.bytes(), event.line);
        let (mut headers, properties) = (line.headers.clone(), line.properties.clone());
        headers.extend(dead.headers(line.replays));
        let routing_key = dead.routing_key();
        (self.keep)(Letter { headers, properties, routing_key, body }).map_err(FeedError::Unkept)?;
        let key = (dead.account.map_or(UNROUTED, |name| name).to_owned(), dead.refusal.reason.as_str());
        self.progress.edit(|counts| *counts.dead_lettered.entry(key).or_default() += 1);
        Ok(())
    }
}
