//! How many messages may be on their way to one queue, and on which channel. Pure.
//!
//! A queue that confirms promptly while more waits for it gets a channel of its own, and more messages on their way. On
//! the shared channel they would hold up all others if the queue stopped. A queue changes its channel only while nothing
//! is on its way to it, for the order's sake.

use crate::broker::timing::{
    CONFIRMS_BEFORE_OWN_CHANNEL, PUBLISHES_ON_OWN_CHANNEL, PUBLISHES_PER_QUEUE, QUORUM_COMMANDS_SOFT_LIMIT,
};

/// The number of a channel. The first one is shared.
pub(super) type ChannelNumber = usize;
pub(super) const SHARED: ChannelNumber = 0;

/// The channels that are nobody's for now.
#[derive(Debug, Default)]
pub(super) struct FreeChannels(Vec<ChannelNumber>);

impl FreeChannels {
    /// So many beside the shared one.
    pub(super) fn new(channels: usize) -> Self {
        Self((1..=channels).collect())
    }

    /// The queue that had the channel goes on on the shared one.
    fn take_back(&mut self, channel: ChannelNumber) -> ChannelStage {
        self.0.push(channel);
        ChannelStage::Shared { prompt: 0 }
    }
}

#[derive(Debug)]
pub(super) struct PublishWindow(ChannelStage);

#[derive(Debug, Clone, Copy)]
enum ChannelStage {
    Shared {
        /// Confirms in a row that came promptly while more waited.
        prompt: usize,
    },
    /// Waits until nothing is on its way on the shared channel.
    Changing(ChannelNumber),
    Own {
        channel: ChannelNumber,
        /// Messages sent since so few were on their way that RabbitMQ read on, and those few.
        sent: usize,
    },
    /// Waits until nothing is on its way on its own channel.
    Leaving(ChannelNumber),
}

impl Default for PublishWindow {
    fn default() -> Self {
        Self(ChannelStage::Shared { prompt: 0 })
    }
}

impl PublishWindow {
    pub(super) fn channel(&self) -> ChannelNumber {
        match self.0 {
            ChannelStage::Shared { .. } | ChannelStage::Changing(_) => SHARED,
            ChannelStage::Own { channel, .. } | ChannelStage::Leaving(channel) => channel,
        }
    }

    /// How many more may be sent.
    pub(super) fn room(&self, in_flight: usize) -> usize {
        match self.0 {
            ChannelStage::Shared { .. } => PUBLISHES_PER_QUEUE.saturating_sub(in_flight),
            ChannelStage::Own { sent, .. } => PUBLISHES_ON_OWN_CHANNEL.saturating_sub(sent),
            ChannelStage::Changing(_) | ChannelStage::Leaving(_) => 0,
        }
    }

    pub(super) fn on_sent(&mut self, messages: usize) {
        if let ChannelStage::Own { sent, .. } = &mut self.0 {
            *sent += messages;
        }
    }

    /// `in_flight` and `waiting`: what is left, and whether more waits.
    pub(super) fn on_confirmed(
        &mut self,
        promptly: bool,
        in_flight: usize,
        waiting: bool,
        free: &mut FreeChannels,
    ) {
        if !promptly {
            self.fall_back(free);
        }
        match &mut self.0 {
            ChannelStage::Shared { prompt } if promptly && waiting => {
                *prompt += 1;
                if *prompt >= CONFIRMS_BEFORE_OWN_CHANNEL
                    && let Some(channel) = free.0.pop()
                {
                    self.0 = ChannelStage::Changing(channel);
                }
            }
            ChannelStage::Own { sent, .. } if in_flight < QUORUM_COMMANDS_SOFT_LIMIT => *sent = in_flight,
            ChannelStage::Shared { .. }
            | ChannelStage::Own { .. }
            | ChannelStage::Changing(_)
            | ChannelStage::Leaving(_) => {}
        }
        if in_flight == 0 {
            self.change(waiting, free);
        }
    }

    /// A confirm was late, or the queue refused a message.
    pub(super) fn fall_back(&mut self, free: &mut FreeChannels) {
        self.0 = match self.0 {
            ChannelStage::Shared { .. } => ChannelStage::Shared { prompt: 0 },
            ChannelStage::Changing(channel) => free.take_back(channel),
            ChannelStage::Own { channel, .. } | ChannelStage::Leaving(channel) => {
                ChannelStage::Leaving(channel)
            }
        };
    }

    /// Nothing is on its way.
    pub(super) fn change(&mut self, waiting: bool, free: &mut FreeChannels) {
        match self.0 {
            ChannelStage::Changing(channel) => self.0 = ChannelStage::Own { channel, sent: 0 },
            ChannelStage::Leaving(channel) => self.0 = free.take_back(channel),
            ChannelStage::Own { channel, .. } if !waiting => self.0 = free.take_back(channel),
            ChannelStage::Shared { .. } | ChannelStage::Own { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window that has got a channel of its own.
    fn with_own_channel(free: &mut FreeChannels) -> PublishWindow {
        let mut window = PublishWindow::default();
        for _ in 0..CONFIRMS_BEFORE_OWN_CHANNEL {
            assert_eq!((window.channel(), window.room(0)), (SHARED, PUBLISHES_PER_QUEUE));
            window.on_confirmed(true, 10, true, free);
        }
        assert_eq!((window.channel(), window.room(10)), (SHARED, 0), "what is on its way is waited for");
        window.on_confirmed(true, 0, true, free);
        window
    }

    #[test]
    fn a_prompt_queue_gets_a_channel_of_its_own_and_a_large_window() {
        let mut free = FreeChannels::new(1);
        let window = with_own_channel(&mut free);
        assert_eq!((window.channel(), window.room(0)), (1, PUBLISHES_ON_OWN_CHANNEL));
        assert!(free.0.is_empty());
    }

    #[test]
    fn it_stays_on_the_shared_channel_where_nothing_waits_or_no_channel_is_free_or_confirms_are_late() {
        let cases =
            [("nothing waits", true, false, 1), ("none is free", true, true, 0), ("late", false, true, 1)];
        for (case, promptly, waiting, channels) in cases {
            let (mut window, mut free) = (PublishWindow::default(), FreeChannels::new(channels));
            for _ in 0..2 * CONFIRMS_BEFORE_OWN_CHANNEL {
                window.on_confirmed(promptly, 0, waiting, &mut free);
            }
            assert_eq!((window.channel(), window.room(4)), (SHARED, PUBLISHES_PER_QUEUE - 4), "{case}");
            assert_eq!(free.0.len(), channels, "{case}");
        }
        let (mut window, mut free) = (PublishWindow::default(), FreeChannels::new(1));
        for number in 0..10 * CONFIRMS_BEFORE_OWN_CHANNEL {
            window.on_confirmed(number % CONFIRMS_BEFORE_OWN_CHANNEL != 0, 0, true, &mut free);
        }
        assert_eq!(window.channel(), SHARED, "one late confirm, and the count begins anew");
    }

    #[test]
    fn no_more_is_sent_than_rabbitmq_takes_before_it_stops_reading_however_many_are_confirmed() {
        let mut free = FreeChannels::new(1);
        let mut window = with_own_channel(&mut free);
        window.on_sent(PUBLISHES_ON_OWN_CHANNEL);
        for in_flight in (QUORUM_COMMANDS_SOFT_LIMIT..PUBLISHES_ON_OWN_CHANNEL).rev() {
            window.on_confirmed(true, in_flight, true, &mut free);
            assert_eq!(window.room(in_flight), 0, "{in_flight}");
        }
        let few = QUORUM_COMMANDS_SOFT_LIMIT - 1;
        window.on_confirmed(true, few, true, &mut free);
        assert_eq!(window.room(few), PUBLISHES_ON_OWN_CHANNEL - few);
    }

    #[test]
    fn a_late_confirm_or_a_refusal_or_the_end_of_the_backlog_gives_the_channel_back_once_nothing_is_on_its_way()
     {
        let late =
            |window: &mut PublishWindow, free: &mut FreeChannels| window.on_confirmed(false, 9, true, free);
        let refused = |window: &mut PublishWindow, free: &mut FreeChannels| window.fall_back(free);
        for fall_back in [late, refused] {
            let mut free = FreeChannels::new(1);
            let mut window = with_own_channel(&mut free);
            window.on_sent(10);
            fall_back(&mut window, &mut free);
            window.on_confirmed(true, 1, true, &mut free);
            assert_eq!((window.channel(), window.room(1), free.0.len()), (1, 0, 0));
            window.on_confirmed(true, 0, true, &mut free);
            assert_eq!((window.channel(), window.room(0), free.0.len()), (SHARED, PUBLISHES_PER_QUEUE, 1));
        }
        let mut free = FreeChannels::new(1);
        let mut window = with_own_channel(&mut free);
        window.on_confirmed(true, 0, false, &mut free);
        assert_eq!((window.channel(), free.0.len()), (SHARED, 1), "no more waits");
    }

    #[test]
    fn a_queue_that_falls_back_before_it_has_changed_its_channel_gives_it_back_at_once() {
        let mut free = FreeChannels::new(1);
        let mut window = PublishWindow::default();
        for _ in 0..CONFIRMS_BEFORE_OWN_CHANNEL {
            window.on_confirmed(true, 10, true, &mut free);
        }
        window.fall_back(&mut free);
        assert_eq!((window.channel(), window.room(10), free.0.len()), (SHARED, PUBLISHES_PER_QUEUE - 10, 1));
    }
}
