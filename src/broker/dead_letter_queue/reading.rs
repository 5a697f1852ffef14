//! Reads the letters that are in the queue, in order and each once, and settles none. They go back to their places when the
//! channel closes.
//!
//! But only if all of them were handed out: RabbitMQ puts what comes back behind what came back before, and so a second look
//! at the first letters alone would put these at the end. That is why every reading goes on to the end of the queue.
//!
//! RabbitMQ hands out no more than a consumer's prefetch before something is settled. So the letters are read in steps: when
//! all that one consumer may hold has been read, the next consumer gets what comes behind.
//!
//! A stop interrupts only the wait for a letter. A subscription that was begun is never left half done: its letters would be
//! out of this reading's sight, and a second one under the same tag costs the connection.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::error::LetterQueueError;
use crate::broker::amqp::channel::{answered, ask, close, close_after_acknowledgements, short};
use crate::broker::amqp::refusal::{NOT_FOUND, is_refused, unusable};
use crate::broker::error::BrokerError;
use crate::broker::timing::{
    ANSWER_TIMEOUT, CONSUMER_TIMEOUT_MS, FIRST_LETTERS_AHEAD, LETTER_BYTES_AHEAD, LETTER_STEPS, LETTER_WAIT,
    LETTERS_AHEAD,
};

/// Of AMQP, in bytes.
const LONGEST_TAG: usize = 200;

pub(super) struct LetterReading {
    channel: Channel,
    queue: String,
    tag: String,
    /// They cancel themselves when they are dropped: kept to the end, behind the channel.
    consumers: Vec<Consumer>,
    /// Of the last one.
    prefetch: u16,
    /// Letters that the last consumer handed out and that are not settled.
    held: u16,
    /// Letters that were read, and the bytes of their bodies.
    read: (u64, u64),
    /// Letters to be read; what comes in meanwhile is left alone.
    left: u64,
    /// Something failed: nothing more can be read.
    broken: bool,
}

/// What came of waiting for a letter.
pub(super) enum NextLetter {
    Read(Box<Delivery>),
    /// None came: all that were there have been read, or somebody else holds the rest.
    NoneCame,
    Stopped,
}

impl LetterReading {
    /// `most`: read no more letters than that.
    pub(super) async fn open(
        connection: &Connection,
        queue: &str,
        who: &str,
        most: Option<u64>,
    ) -> Result<Self, LetterQueueError> {
        let counting = async {
            let channel = connection.create_channel().await?;
            let count = ask(&channel, queue).await?.message_count();
            Ok((channel, count))
        };
        let (channel, count) = answered(queue, counting).await.map_err(|error| {
            if error.is_refused(NOT_FOUND) {
                LetterQueueError::NoQueue(queue.to_owned())
            } else {
                error.into()
            }
        })?;
        let left = u64::from(count);
        Ok(Self {
            channel,
            queue: queue.to_owned(),
            tag: who.chars().filter(char::is_ascii).take(LONGEST_TAG).collect(),
            consumers: Vec::new(),
            prefetch: 0,
            held: 0,
            read: (0, 0),
            left: most.map_or(left, |most| most.min(left)),
            broken: false,
        })
    }

    /// How many letters are to be read yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Whether the next letter needs another consumer. Nothing may be settled after that which was read before it: the old
    /// consumer would take further letters, out of order.
    pub(super) fn is_full(&self) -> bool {
        self.held == self.prefetch
    }

    /// The next letter, if it comes within `wait` and before `stop`.
    pub(super) async fn next(
        &mut self,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<NextLetter, LetterQueueError> {
        let next = self.wait_for_next(wait, stop).await;
        self.broken |= next.is_err();
        next
    }

    async fn wait_for_next(
        &mut self,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<NextLetter, LetterQueueError> {
        if self.left == 0 || self.broken {
            return Ok(NextLetter::NoneCame);
        }
        if stop.is_cancelled() {
            return Ok(NextLetter::Stopped);
        }
        if self.consumers.is_empty() || self.is_full() {
            self.subscribe().await?;
        }
        let Some(consumer) = self.consumers.last_mut() else { return Ok(NextLetter::NoneCame) };
        match stop.run_until_cancelled(tokio::time::timeout(wait, consumer.next())).await {
            Some(Ok(Some(delivery))) => {
                let delivery = delivery?;
                self.held += 1;
                self.left -= 1;
                self.read.0 += 1;
                self.read.1 += delivery.data.len() as u64;
                Ok(NextLetter::Read(Box::new(delivery)))
            }
            Some(Ok(None)) => Err(BrokerError::ConsumerCancelled(self.queue.clone()).into()),
            Some(Err(_)) => Ok(NextLetter::NoneCame),
            None => Ok(NextLetter::Stopped),
        }
    }

    /// Letters for the next consumer: few enough for the memory, and enough for the steps that are left.
    fn step(&self) -> u16 {
        let (letters, bytes) = self.read;
        let ahead = match bytes.checked_div(letters) {
            Some(mean) => (LETTER_BYTES_AHEAD / mean.max(1)).min(LETTERS_AHEAD),
            None => FIRST_LETTERS_AHEAD,
        };
        let steps = LETTER_STEPS.saturating_sub(self.consumers.len() as u64).max(1);
        u16::try_from(ahead.max(self.left.div_ceil(steps)).max(1)).unwrap_or(u16::MAX)
    }

    async fn subscribe(&mut self) -> Result<(), LetterQueueError> {
        self.prefetch = self.step();
        let tag = format!("{} #{}", self.tag, self.consumers.len() + 1);
        // RabbitMQ refuses it for a stream, which would hand out nothing that came before.
        let mut arguments = FieldTable::default();
        arguments.insert("x-priority".into(), AMQPValue::LongInt(0));
        // Letters that are not chosen are held while others go slowly. RabbitMQ heeds it from 4.3 on.
        arguments.insert("x-consumer-timeout".into(), AMQPValue::LongLongInt(CONSUMER_TIMEOUT_MS));
        let subscribing = async {
            self.channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            self.channel.basic_consume(short(&self.queue), short(&tag), options, arguments).await
        };
        let consumer = tokio::time::timeout(ANSWER_TIMEOUT, subscribing).await.map_err(|_| {
            BrokerError::SubscribeTimedOut { queue: self.queue.clone(), within: ANSWER_TIMEOUT }
        })?;
        let consumer = consumer.map_err(|error| match unusable(&error, &self.queue) {
            Some(why) if !is_refused(&error, crate::broker::amqp::refusal::ACCESS_REFUSED) => {
                BrokerError::UnusableQueue(why)
            }
            Some(_) | None => error.into(),
        })?;
        self.consumers.push(consumer);
        self.held = 0;
        Ok(())
    }

    /// Whether the broker has ended the channel, so that nothing more can be read nor acknowledged.
    pub(super) fn is_cut_off(&self) -> bool {
        !self.channel.status().connected()
    }

    /// So many of the letters of the last consumer were acknowledged.
    pub(super) fn settled(&mut self, letters: usize) {
        self.held = self.held.saturating_sub(u16::try_from(letters).unwrap_or(u16::MAX));
    }

    /// Returns when the queue has the acknowledgements sent so far.
    pub(super) async fn until_acknowledged(&self) -> Result<(), LetterQueueError> {
        // Asked on the same channel, so that it is answered behind them.
        answered(&self.queue, ask(&self.channel, &self.queue)).await?;
        Ok(())
    }

    /// Lets the letters go back to their places.
    pub(super) async fn close(mut self) {
        self.read_to_the_end().await;
        close(&self.channel).await;
    }

    /// The same, when letters were acknowledged.
    pub(super) async fn close_after_acknowledgements(mut self) {
        self.read_to_the_end().await;
        close_after_acknowledgements(&self.channel, &self.queue).await;
    }

    /// Also after a stop: see the head of this file.
    async fn read_to_the_end(&mut self) {
        let unstopped = CancellationToken::new();
        loop {
            match self.next(LETTER_WAIT, &unstopped).await {
                Ok(NextLetter::Read(_)) => {}
                Ok(NextLetter::NoneCame | NextLetter::Stopped) => return,
                Err(error) => {
                    tracing::debug!(%error, "the letters may be in another order");
                    return;
                }
            }
        }
    }
}
