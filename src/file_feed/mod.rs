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
mod reader;

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dead_letter::DeadLetter;
use crate::delivery::{AccountName, HeldBytes, LaneInlet, Settlement, UNROUTED};
use crate::metrics::Metrics;
use crate::outcome::{Outcome, Refusal};
use crate::routing::AccountIndex;
use crate::segment::Opener;
pub use counts::{Counts, SharedCounts};
pub use error::FeedError;
use event::FileEvent;
pub use file_id::FileId;
use lanes::{Lanes, UnsettledEvent};
pub use letter_file::{LetterFile, LetterFileError};
use letter_writer::LetterWriter;
pub use letter_writer::{Discard, LetterStore};
pub use lines::{ReadLine, longest_line, read_lines};
pub use reader::{EventReader, FileRead};

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
            Feeding { reader: EventReader::new(account_index, opener), metrics, counts, lanes, letters };
        let mut failed = None;
        while !feeding.is_over() {
            let reading = feeding.lanes.are_open();
            let room = feeding.has_room();
            let has_event = feeding.reader.has_event();
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
                    Some(Err(source)) => Err(FeedError::Unreadable { line: feeding.reader.line(), source }),
                    Some(Ok(line)) => {
                        feeding.reader.take(line);
                        Ok(())
                    }
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

struct Feeding {
    reader: EventReader,
    metrics: Arc<Metrics>,
    counts: Arc<SharedCounts>,
    lanes: Lanes,
    letters: LetterWriter<CountedLetter>,
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
        self.reader.clear();
    }

    /// Feeds the next event of the line that was read last.
    fn feed_next(&mut self) -> Result<(), FeedError> {
        let Some(FileRead { event, account, unpacked, .. }) = self.reader.next_event() else { return Ok(()) };
        self.counts.edit(|counts| counts.read += 1);
        let account = account.map(|(account, _)| account);
        match (account, unpacked) {
            (Some(account), Ok(unpacked)) => {
                let body = event.body.bytes();
                self.lanes.deliver(account, event, &body, unpacked)
            }
            (account, Err(refusal)) => {
                self.refuse(account.as_ref(), event, &refusal);
                Ok(())
            }
            // Not reached: an event without an account is refused.
            (None, Ok(_)) => Ok(()),
        }
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
                let seen = self.reader.glimpse_of(&event);
                let (account, attempts) = (Some(&account), settlement.attempts);
                let failed_at = Timestamp::now();
                self.dead_letter(&DeadLetter { refusal, account, seen: &seen, attempts, failed_at }, event);
            }
            Outcome::Returned => self.counts.edit(|counts| counts.returned += 1),
        }
    }

    /// Dead-letters an event that no lane receives.
    fn refuse(&mut self, account: Option<&AccountName>, event: FileEvent, refusal: &Refusal) {
        let seen = self.reader.glimpse_of(&event);
        let dead = DeadLetter { refusal, account, seen: &seen, attempts: 0, failed_at: Timestamp::now() };
        let metrics = self.metrics.account(account.map_or(UNROUTED, |name| name));
        dead.count_as_received(&metrics, event.line.trace_id());
        self.dead_letter(&dead, event);
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
