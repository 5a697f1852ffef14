//! The messages that one channel brings, before the lane gets them.

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;

use crate::broker::amqp::properties;
use crate::broker::consuming::arrivals::Arrivals;
use crate::broker::consuming::pace::Pace;
use crate::broker::consuming::poison::PoisonGuard;
use crate::broker::error::BrokerError;
use crate::broker::probes::starved_consumer::ConsumerWatchdog;

pub(super) struct IncomingMessage {
    pub(super) message: Delivery,
    pub(super) returns: u64,
    /// Another replica may have had it since this channel's first message, and may have calls under way for it. For the
    /// first message the lane waits until such calls are over.
    pub(super) redelivered: bool,
}

/// What is known of a channel's messages.
pub(super) struct Incoming<'a> {
    pub(super) poison: PoisonGuard,
    watchdog: ConsumerWatchdog<'a>,
    pace: Pace,
    /// The lane got a message of this channel.
    lane_has_one: bool,
    /// Taken off the channel while the message before it is worked alone.
    ahead: Option<Delivery>,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(watchdog: ConsumerWatchdog<'a>, pace: Pace) -> Self {
        Self { poison: PoisonGuard::new(), watchdog, pace, lane_has_one: false, ahead: None }
    }

    /// Takes note of a message that the channel brought.
    pub(super) fn receive(&mut self, message: Delivery) -> IncomingMessage {
        self.watchdog.received();
        self.pace.received(message.redelivered);
        let returns = properties::returns_of(&message);
        // With a prefetch of one, nobody else had it since the first message either.
        let nobody_else = matches!(self.pace, Pace::OneAtATime(_)) && self.lane_has_one;
        IncomingMessage { returns, redelivered: message.redelivered && !nobody_else, message }
    }

    /// The message that was taken ahead. It was on this channel before the last one was acknowledged, so nobody else had
    /// it in between.
    pub(super) fn take_ahead(&mut self) -> Option<IncomingMessage> {
        let message = self.ahead.take()?;
        let returns = properties::returns_of(&message);
        Some(IncomingMessage { returns, redelivered: message.redelivered && !self.lane_has_one, message })
    }

    /// Takes the next message off the channel, if it is there, while messages are worked one at a time: once the one
    /// before it is acknowledged, it could not be told from one that another replica had.
    pub(super) fn read_ahead(&mut self, arrivals: &mut Arrivals) -> Result<(), BrokerError> {
        if self.poison.one_at_a_time() && self.ahead.is_none() {
            self.ahead = arrivals.next().now_or_never().flatten().transpose()?;
        }
        Ok(())
    }

    pub(super) fn lane_got_one(&mut self) {
        self.lane_has_one = true;
    }

    /// No message of the channel is unsettled.
    pub(super) fn none_held(&self) {
        self.pace.none_held();
    }

    /// Returns when messages wait in the queue and none comes. To be awaited while none is held.
    pub(super) async fn until_starved(&mut self) {
        self.watchdog.until_starved().await;
    }
}
