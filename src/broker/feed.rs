//! A file in RabbitMQ's place: the same deliveries, the same receipts, one line an event. A line may also be a dead
//! letter, which is sent back: its event counts as replayed once more, and goes to the account that the letter names.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::directory::Directory;
use super::held::Held;
use super::letter::Letter;
use super::lines::read_lines;
use super::names::dead_letter_key;
use super::session::LaneDoor;
use super::{UNROUTED, dead_letter};
use crate::delivery::{AccountName, Delivery, Lease, Receipt, Session, Settlement};
use crate::metrics::Metrics;
use crate::outcome::{Outcome, Refusal};

/// What became of the events so far. Read while it grows.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Counts>);

/// Numbers of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines read.
    pub read: u64,
    /// Taken by Freshsales, by account.
    pub delivered: BTreeMap<String, u64>,
    /// Left out, by account and reason.
    pub skipped: BTreeMap<(String, &'static str), u64>,
    /// Dead letters, by account and reason.
    pub dead_lettered: BTreeMap<(String, &'static str), u64>,
    /// Given back unsettled by a lane, mostly because it was told to stop.
    pub returned: u64,
}

impl Counts {
    /// Events that ended.
    pub fn settled(&self) -> u64 {
        self.delivered.values().sum::<u64>()
            + self.skipped.values().sum::<u64>()
            + self.dead_lettered.values().sum::<u64>()
    }

    /// Events that were read and did not end.
    pub fn unsettled(&self) -> u64 {
        self.read.saturating_sub(self.settled())
    }
}

impl Progress {
    /// The numbers now.
    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn edit(&self, edit: impl FnOnce(&mut Counts)) {
        edit(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Keeps a dead letter. The event counts as settled only when it returns `Ok`.
pub type Keep = Box<dyn FnMut(Letter) -> std::io::Result<()> + Send>;

/// The feed: where lines come from, and where they go.
pub struct Feed {
    /// Finds an event's account.
    pub directory: Directory,
    /// One per account.
    pub lanes: Vec<LaneDoor>,
    /// Unsettled events per account.
    pub prefetch: u16,
    /// How many bytes of events it holds. Lines come in one after another, so only all accounts together are bounded.
    pub held: Held,
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

/// An event as it was read.
struct Event {
    body: Bytes,
    /// Of the letter that it comes from.
    headers: Map<String, Value>,
    properties: Map<String, Value>,
    replays: i64,
}

impl Event {
    /// What is held of it. A letter's headers are few beside it.
    fn size(&self) -> u64 {
        self.body.len() as u64
    }
}

/// An event on its way.
struct Pending {
    account: AccountName,
    event: Event,
}

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
        let mut failed = None;
        loop {
            let reading = !doors.is_empty();
            if !reading && pending.is_empty() {
                break;
            }
            let room = pending.is_empty() || !self.held.full();
            let step = tokio::select! {
                biased;
                Some(settlement) = settlements.recv() => self.settle(&settlement, &mut pending),
                () = stop.cancelled(), if reading => Err(FeedError::Stopped),
                read = lines.recv(), if reading && room && pending.len() < capacity => match read {
                    None => {
                        doors.clear();
                        Ok(())
                    }
                    Some(Err(source)) => Err(FeedError::Unreadable { line, source }),
                    Some(Ok(body)) => {
                        line += 1;
                        self.feed(line, body.into(), &doors, &settle, &mut pending)
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

    fn feed(
        &mut self,
        line: u64,
        body: Bytes,
        doors: &Doors,
        settle: &mpsc::Sender<Settlement>,
        pending: &mut HashMap<u64, Pending>,
    ) -> Result<(), FeedError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        self.progress.edit(|counts| counts.read += 1);
        let letter = Letter::from_line(&body);
        let body = letter.as_ref().map_or(body, |letter| letter.body.clone());
        let found = self.directory.find(letter.as_ref().and_then(Letter::account).map(Some), &body);
        let event = Event {
            body,
            replays: letter.as_ref().map_or(0, Letter::replays),
            headers: letter.as_ref().map(Letter::kept_headers).unwrap_or_default(),
            properties: letter.map(|letter| letter.properties).unwrap_or_default(),
        };
        let account = match found {
            Ok(account) => account,
            Err(refusal) => {
                dead_letter::count(&self.metrics.account(UNROUTED), UNROUTED, &event.body, &refusal);
                return self.bury(None, event, &refusal, 0);
            }
        };
        let (Some(door), Ok(place)) = (doors.get(&account), settle.clone().try_reserve_owned()) else {
            return Err(FeedError::LaneGone);
        };
        let body = event.body.clone();
        self.held.add(event.size());
        pending.insert(line, Pending { account, event });
        let receipt = Receipt::new(line, place, self.metrics.receipts_dropped.clone());
        let queued_at = Timestamp::now();
        let sent = door.try_send(Delivery { body, queued_at, copied: false, redelivered: false, receipt });
        if let Err(refused) = sent {
            refused.into_inner().receipt.settle(Outcome::Returned, 0);
        }
        Ok(())
    }

    fn settle(
        &mut self,
        settlement: &Settlement,
        pending: &mut HashMap<u64, Pending>,
    ) -> Result<(), FeedError> {
        let Some(Pending { account, event }) = pending.remove(&settlement.tag) else { return Ok(()) };
        self.held.remove(event.size());
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
                return self.bury(Some(&account), event, refusal, settlement.attempts);
            }
            Outcome::Returned => self.progress.edit(|counts| counts.returned += 1),
        }
        Ok(())
    }

    fn bury(
        &mut self,
        account: Option<&AccountName>,
        event: Event,
        refusal: &Refusal,
        attempts: u32,
    ) -> Result<(), FeedError> {
        let Event { body, mut headers, properties, replays } = event;
        headers.extend(dead_letter::headers(refusal, account, &body, attempts, replays, Timestamp::now()));
        let routing_key = dead_letter_key(account, refusal.reason);
        (self.keep)(Letter { headers, properties, routing_key, body }).map_err(FeedError::Unkept)?;
        let key = (account.map_or(UNROUTED, |name| name).to_owned(), refusal.reason.as_str());
        self.progress.edit(|counts| *counts.dead_lettered.entry(key).or_default() += 1);
        Ok(())
    }
}
