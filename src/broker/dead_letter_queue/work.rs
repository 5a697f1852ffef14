//! Takes letters out of the queue: reads, chooses, disposes of the chosen ones, and acknowledges them.
//!
//! In passes, so that no letter is held for long: each pass reads the queue from its beginning, where those that were not
//! chosen are again. What was sent back and failed again is at the end, behind what was there at the start, and is not read.

use std::time::Duration;

use jiff::Timestamp;
use lapin::options::BasicAckOptions;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::chosen::{ChosenLetter, LetterFate};
use super::disposal::Disposal;
use super::error::LetterQueueError;
use super::orders::{LetterOrder, LetterProgress, LetterState};
use super::reading::{LetterReading, NextLetter};
use crate::broker::amqp::connection::ConnectionPair;
use crate::broker::amqp::stored_letter;
use crate::broker::error::BrokerError;
use crate::broker::timing::{
    LETTER_ACKNOWLEDGEMENTS, LETTER_BYTES_IN_FLIGHT, LETTER_PASS, LETTER_PAUSE, LETTER_WAIT,
    LETTERS_IN_FLIGHT, SHORTEST_LETTER_PASS,
};
use crate::dead_letter::{LetterSelection, ListedLetter};
use crate::delivery::UNROUTED;
use crate::segment::Opener;

/// So many passes in a row may be cut off before a letter went.
const MOST_IN_VAIN: u32 = 5;

pub(super) struct LetterWork<'a, 's> {
    queue: String,
    opener: &'a Opener,
    pair: &'a ConnectionPair,
    order: &'a LetterOrder,
    selection: LetterSelection,
    disposal: Disposal<'a, 's>,
    progress: &'a watch::Sender<LetterProgress>,
    stop: &'a CancellationToken,
    /// What is published as progress; counted anew in each pass but for what is done.
    now: LetterProgress,
    pace: Pacing,
}

enum PassEnd {
    /// All that were to be read have been.
    All,
    Stopped,
    /// What was not chosen must go back for a while.
    TimeOver,
    /// RabbitMQ ended the channel, and the connection holds: its consumer timeout is shorter than the pass.
    CutOff,
    /// Why no more letters should be tried.
    Halted(String),
}

/// When the next letters may go.
struct Pacing {
    rate: Option<f64>,
    next: Instant,
}

impl Pacing {
    /// The most letters that go together.
    fn most(&self) -> usize {
        let second = self.rate.map_or(usize::MAX, |rate| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded below")]
            let letters = rate.clamp(1.0, 1e6) as usize;
            letters
        });
        second.min(LETTERS_IN_FLIGHT)
    }

    fn sent(&mut self, letters: usize) {
        if let Some(rate) = self.rate {
            let letters = f64::from(u32::try_from(letters).unwrap_or(u32::MAX));
            let wait = Duration::try_from_secs_f64(letters / rate).unwrap_or(LETTER_PASS);
            self.next = self.next.max(Instant::now()) + wait;
        }
    }
}

impl<'a, 's> LetterWork<'a, 's> {
    /// The queue, the connections to it, and what opens bodies.
    pub(super) fn new(
        (queue, pair, opener): (String, &'a ConnectionPair, &'a Opener),
        order: &'a LetterOrder,
        disposal: Disposal<'a, 's>,
        progress: &'a watch::Sender<LetterProgress>,
        stop: &'a CancellationToken,
    ) -> Self {
        let selection = order.filter.clone().selection(Timestamp::now());
        let pace = Pacing { rate: order.rate, next: Instant::now() };
        let now = LetterProgress { state: LetterState::Running, ..LetterProgress::default() };
        Self { queue, opener, pair, order, selection, disposal, progress, stop, now, pace }
    }

    pub(super) async fn run(mut self) -> Result<LetterState, LetterQueueError> {
        let (mut most, mut pass, mut in_vain) = (None, LETTER_PASS, 0);
        loop {
            // Not with letters in hand.
            let pause = tokio::time::sleep_until(self.pace.next);
            if self.stop.run_until_cancelled(pause).await.is_none() {
                return Ok(LetterState::Stopped);
            }
            let began = Instant::now();
            let opening = LetterReading::open(&self.pair.consuming, &self.queue, &self.order.who, most);
            let opened = self.stop.run_until_cancelled(opening).await;
            let Some(mut reading) = opened.transpose()? else { return Ok(LetterState::Stopped) };
            if most.is_none() {
                self.now.at_start = reading.left();
                self.progress.send_replace(self.now.clone());
            }
            let LetterProgress { at_start, done, first, last, .. } = std::mem::take(&mut self.now);
            self.now = LetterProgress {
                at_start,
                done,
                first,
                last,
                seen: done,
                matched: done,
                state: LetterState::Running,
                ..LetterProgress::default()
            };
            let mut end = self.pass(&mut reading, began + pass).await;
            if end.is_err() && reading.is_cut_off() && self.pair.connected() && in_vain < MOST_IN_VAIN {
                end = Ok(PassEnd::CutOff);
            }
            in_vain = if self.now.done > done { 0 } else { in_vain + 1 };
            if self.now.done > done {
                reading.close_after_acknowledgements().await;
            } else {
                reading.close().await;
            }
            self.progress.send_replace(self.now.clone());
            match end? {
                PassEnd::All => return Ok(LetterState::Done),
                PassEnd::Stopped => return Ok(LetterState::Stopped),
                PassEnd::Halted(why) => return Err(LetterQueueError::Interrupted(why)),
                PassEnd::TimeOver => {}
                PassEnd::CutOff => pass = (began.elapsed() / 3).max(SHORTEST_LETTER_PASS),
            }
            most = Some(self.now.at_start.saturating_sub(self.now.done));
        }
    }

    async fn pass(
        &mut self,
        reading: &mut LetterReading,
        until: Instant,
    ) -> Result<PassEnd, LetterQueueError> {
        let mut chosen: Vec<ChosenLetter> = Vec::new();
        let mut bytes = 0;
        loop {
            let taken =
                self.now.done + self.now.stay.failed + u64::try_from(chosen.len()).unwrap_or(u64::MAX);
            let enough = taken >= self.selection.limit();
            let wait = if chosen.is_empty() { LETTER_WAIT } else { LETTER_PAUSE };
            let full = chosen.len() >= self.pace.most() || bytes >= LETTER_BYTES_IN_FLIGHT;
            let next = if enough || full || (reading.is_full() && !chosen.is_empty()) {
                NextLetter::NoneCame
            } else {
                reading.next(wait, self.stop).await?
            };
            let delivery = match next {
                NextLetter::Read(delivery) => delivery,
                NextLetter::Stopped => return Ok(PassEnd::Stopped),
                NextLetter::NoneCame => {
                    if chosen.is_empty() {
                        return Ok(PassEnd::All);
                    }
                    let halted = self.dispose(std::mem::take(&mut chosen), reading).await?;
                    bytes = 0;
                    if let Some(why) = halted {
                        return Ok(PassEnd::Halted(why));
                    }
                    if self.stop.is_cancelled() {
                        return Ok(PassEnd::Stopped);
                    }
                    if Instant::now().max(self.pace.next) >= until {
                        return Ok(PassEnd::TimeOver);
                    }
                    continue;
                }
            };
            self.now.seen += 1;
            // The lanes share this thread.
            tokio::task::consume_budget().await;
            let letter = stored_letter::letter(&delivery);
            let listed = ListedLetter::of(&letter, self.opener);
            if self.selection.holds(&listed) {
                self.now.matched += 1;
                let judge = self.order.judge.as_ref();
                if judge.is_none_or(|judge| self.now.stay.may_go(judge(&letter, &listed))) {
                    bytes += delivery.data.len();
                    chosen.push(ChosenLetter { delivery: *delivery, listed });
                }
            }
            if self.now.seen.is_multiple_of(1000) {
                self.progress.send_replace(self.now.clone());
            }
        }
    }

    /// Returns why no more letters should be tried, if so.
    async fn dispose(
        &mut self,
        chosen: Vec<ChosenLetter>,
        reading: &mut LetterReading,
    ) -> Result<Option<String>, LetterQueueError> {
        let pause = tokio::time::sleep_until(self.pace.next);
        if self.stop.run_until_cancelled(pause).await.is_none() {
            return Ok(None);
        }
        if reading.is_cut_off() {
            // They could not be acknowledged any more, and would be there twice.
            return Err(BrokerError::NotAcknowledged.into());
        }
        let (fates, halt) = self.disposal.take(&chosen).await?;
        self.pace.sent(chosen.len());
        let mut gone = Vec::with_capacity(chosen.len());
        for (letter, fate) in chosen.into_iter().zip(fates) {
            match fate {
                LetterFate::Gone => gone.push(letter),
                LetterFate::Stays(why) => self.now.stay.failed(&why),
            }
        }
        for some in gone.chunks(LETTER_ACKNOWLEDGEMENTS) {
            for letter in some {
                // `false` means that it was not sent.
                if !letter.delivery.acker.ack(BasicAckOptions::default()).await? {
                    return Err(BrokerError::NotAcknowledged.into());
                }
            }
            reading.until_acknowledged().await?;
            reading.settled(some.len());
        }
        for letter in gone {
            self.count(letter);
        }
        self.progress.send_replace(self.now.clone());
        Ok(halt)
    }

    fn count(&mut self, letter: ChosenLetter) {
        self.now.done += 1;
        let id = letter.listed.id;
        self.now.first.get_or_insert_with(|| id.clone());
        self.now.last = Some(id);
        if let Some(counter) = &self.order.counter {
            let account = letter.listed.account.as_deref().unwrap_or(UNROUTED);
            counter(account, letter.listed.reason.as_deref().unwrap_or("unknown"));
        }
    }
}
