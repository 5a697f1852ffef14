//! A file in RabbitMQ's place: the same deliveries, the same receipts. Called by `run --events` and `demo`; knows
//! nothing of RabbitMQ.
//!
//! A line is an event or a batch of them. It may also be a dead letter, which is sent back: what it holds counts as
//! replayed once more, and goes to the account that the letter names.

mod counts;
mod error;
mod event;
mod file_id;
mod lanes;
mod letter_file;
mod letter_writer;
mod lines;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dead_letter::DeadLetter;
use crate::delivery::{AccountName, HeldBytes, LaneInlet, Settlement, UNROUTED};
use crate::metrics::Metrics;
use crate::outcome::{DeadLetterReason, Outcome, Problem, Refusal};
use crate::routing::AccountIndex;
use crate::segment::{Glimpse, Opened, Opener, RoutingKeys, Unopened};
pub use counts::{Counts, SharedCounts};
pub use error::FeedError;
use event::{FileEvent, SourceLine, Splitting};
pub use file_id::FileId;
use lanes::{Lanes, UnsettledEvent};
pub use letter_file::{LetterFile, LetterFileError};
use letter_writer::LetterWriter;
pub use letter_writer::{Discard, LetterStore};
pub use lines::{ReadLine, longest_line, read_lines};

/// What a feed works with.
pub struct Feed {
    /// Finds an event's account.
    pub account_index: Arc<AccountIndex>,
    /// Reads bodies.
    pub opener: Opener,
    /// One per account.
    pub lanes: Vec<LaneInlet>,
    /// Unsettled events per account.
    pub prefetch: u16,
    /// Lines come in one after another, so only all accounts together are bounded.
    pub held: HeldBytes,
    /// For events without an account.
    pub metrics: Arc<Metrics>,
    /// Grows while the feed runs.
    pub counts: Arc<SharedCounts>,
    /// Takes the dead letters.
    pub letters: Box<dyn LetterStore>,
}

impl Feed {
    /// Hands over every event, or those before `stop`, and waits until they are settled.
    pub async fn run(
        self,
        mut lines: mpsc::Receiver<io::Result<ReadLine>>,
        stop: CancellationToken,
    ) -> Result<(), FeedError> {
        let Self { account_index, opener, lanes, prefetch, held, metrics, counts, letters } = self;
        let (lanes, mut settlements) =
            Lanes::open(lanes, prefetch, held, metrics.receipts_dropped.clone()).await?;
        let letters = LetterWriter::start(letters);
        let mut feeding =
            Feeding { account_index, opener, metrics, counts, lanes, letters, splitting: None, line: 0 };
        let mut failed = None;
        while !feeding.is_over() {
            let reading = feeding.lanes.are_open();
            let room = feeding.has_room();
            let has_event = feeding.splitting.is_some();
            let step = tokio::select! {
                biased;
                written = feeding.letters.written(), if feeding.letters.is_writing() => {
                    feeding.count_letters(written)
                }
                Some(settlement) = settlements.recv(), if feeding.letters.has_room() => {
                    feeding.settle(&settlement);
                    Ok(())
                }
                () = stop.cancelled(), if reading => Err(FeedError::Stopped),
                () = std::future::ready(()), if has_event && room => feeding.feed_next(),
                read = lines.recv(), if reading && !has_event && room => match read {
                    None => {
                        feeding.close();
                        Ok(())
                    }
                    Some(Err(source)) => Err(FeedError::Unreadable { line: feeding.line, source }),
                    Some(Ok(line)) => feeding.feed(line),
                },
            };
            if let Err(error) = step {
                failed.get_or_insert(error);
                feeding.close();
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// A dead letter that is not safe yet, as [`Counts`] counts it.
type CountedLetter = (String, &'static str);

/// A feed at work.
struct Feeding {
    account_index: Arc<AccountIndex>,
    opener: Opener,
    metrics: Arc<Metrics>,
    counts: Arc<SharedCounts>,
    lanes: Lanes,
    letters: LetterWriter<CountedLetter>,
    /// The batch whose events are handed over before the next line is read.
    splitting: Option<Splitting>,
    /// The number of the last line read.
    line: u64,
}

impl Feeding {
    fn is_over(&self) -> bool {
        !self.lanes.are_open() && self.lanes.have_settled_all() && !self.letters.is_writing()
    }

    fn has_room(&self) -> bool {
        self.lanes.have_room() && self.letters.has_room()
    }

    fn close(&mut self) {
        self.lanes.close();
        self.splitting = None;
    }

    /// Feeds the event of a line. The events of a batch are fed as there is room, see [`Self::feed_next`].
    fn feed(&mut self, line: ReadLine) -> Result<(), FeedError> {
        self.line += 1;
        let text = match line {
            ReadLine::Whole(text) if text.iter().all(u8::is_ascii_whitespace) => return Ok(()),
            ReadLine::Whole(text) => Bytes::from(text),
            ReadLine::TooLong => {
                self.refuse_line();
                return Ok(());
            }
        };
        let (line, body) = SourceLine::read(self.line, text);
        // By its line's number, because equal lines are different events, as two messages would be.
        match self.opener.open(&body, line.encoding(), &self.line.to_string()) {
            Ok(Opened::Many(batch)) => {
                self.splitting = Some(Splitting::new(&line, batch));
                Ok(())
            }
            Ok(Opened::One(one)) => self.feed_event(FileEvent::whole(line, body), || one.keys()),
            Err(Unopened { refusal, keys }) => {
                self.counts.edit(|counts| counts.read += 1);
                let account = self.find(&line, || Ok(keys)).ok();
                self.refuse(account.as_ref(), FileEvent::whole(line, body), &refusal);
                Ok(())
            }
        }
    }

    /// Feeds the next event of a batch.
    fn feed_next(&mut self) -> Result<(), FeedError> {
        let Some(splitting) = &mut self.splitting else { return Ok(()) };
        let (event, batch) = splitting.next_event();
        if splitting.is_over() {
            self.splitting = None;
        }
        let index = event.place;
        self.feed_event(event, || batch.keys_of(usize::try_from(index).unwrap_or(usize::MAX)))
    }

    fn feed_event(
        &mut self,
        event: FileEvent,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
    ) -> Result<(), FeedError> {
        self.counts.edit(|counts| counts.read += 1);
        let account = match self.find(&event.line, keys) {
            Ok(account) => account,
            Err(refusal) => {
                self.refuse(None, event, &refusal);
                return Ok(());
            }
        };
        let body = event.body.bytes();
        match self.opener.event(&body, event.line.encoding()) {
            Ok(unpacked) => self.lanes.deliver(account, event, &body, unpacked),
            Err(refusal) => {
                self.refuse(Some(&account), event, &refusal);
                Ok(())
            }
        }
    }

    fn find(
        &self,
        line: &SourceLine,
        keys: impl FnOnce() -> Result<Vec<RoutingKeys>, Refusal>,
    ) -> Result<AccountName, Refusal> {
        self.account_index.find(line.account.as_deref().map(Some), keys)
    }

    fn settle(&mut self, settlement: &Settlement) {
        let Some(UnsettledEvent { account, event }) = self.lanes.take(settlement.tag) else { return };
        let name = account.to_string();
        match &settlement.outcome {
            Outcome::Delivered => {
                self.counts.edit(|counts| *counts.delivered.entry(name).or_default() += 1);
            }
            Outcome::Skipped(reason) => {
                let key = (name, reason.as_str());
                self.counts.edit(|counts| *counts.skipped.entry(key).or_default() += 1);
            }
            Outcome::DeadLetter(refusal) => {
                let seen = self.glimpse(&event);
                let (account, attempts) = (Some(&account), settlement.attempts);
                let failed_at = Timestamp::now();
                self.dead_letter(&DeadLetter { refusal, account, seen: &seen, attempts, failed_at }, event);
            }
            Outcome::Returned => self.counts.edit(|counts| counts.returned += 1),
        }
    }

    /// Dead-letters an event that no lane receives.
    fn refuse(&mut self, account: Option<&AccountName>, event: FileEvent, refusal: &Refusal) {
        let seen = self.glimpse(&event);
        let dead = DeadLetter { refusal, account, seen: &seen, attempts: 0, failed_at: Timestamp::now() };
        let metrics = self.metrics.account(account.map_or(UNROUTED, |name| name));
        dead.count_as_received(&metrics, event.line.trace_id());
        self.dead_letter(&dead, event);
    }

    /// Dead-letters a line that is too long to be kept, without its body.
    fn refuse_line(&mut self) {
        self.counts.edit(|counts| counts.read += 1);
        let problem = Problem {
            problem: format!(
                "line {} is too long; it is not kept here, but only in the events' file",
                self.line
            ),
            expected: Some("at most twice `broker.max_batch` and 1 MiB".to_owned()),
            ..Problem::default()
        };
        let refusal = Refusal::new(DeadLetterReason::TooLarge, problem);
        self.refuse(None, FileEvent::whole(SourceLine::new(self.line), Bytes::new()), &refusal);
    }

    fn glimpse(&self, event: &FileEvent) -> Glimpse {
        self.opener.glimpse(&event.body.bytes(), event.line.encoding())
    }

    fn dead_letter(&mut self, dead: &DeadLetter<'_>, event: FileEvent) {
        let counted = (dead.account.map_or(UNROUTED, |name| name).to_owned(), dead.refusal.reason.as_str());
        self.letters.write(event.into_letter(dead), counted);
    }

    fn count_letters(&self, written: io::Result<Vec<CountedLetter>>) -> Result<(), FeedError> {
        let written = written.map_err(FeedError::LetterNotWritten)?;
        self.counts.edit(|counts| {
            for letter in written {
                *counts.dead_lettered.entry(letter).or_default() += 1;
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
