//! How many messages of a queue are taken at once, and how it goes where that is one.
//! Chosen by the quarantine; the router and the lanes' consumers report to it.

use tokio::sync::watch;

/// How many messages of a queue are taken at once.
#[derive(Debug, Clone)]
pub(in crate::broker) enum Pace {
    /// As many as the queue's prefetch.
    Prefetched,
    /// One, so that no other comes back with a message that the broker cannot hand out. The channel carries what is
    /// left of the messages that came back.
    OneAtATime(watch::Sender<ReturnedMessages>),
}

/// What is left of the messages that came back to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum ReturnedMessages {
    /// One of them is held here.
    Held,
    /// None is held here, and others may follow.
    NoneHeld,
    /// A new message came. RabbitMQ hands out returned ones first, so none is left.
    AllGone,
}

impl Pace {
    /// The prefetch to subscribe with, where `usual` is the queue's own.
    pub(in crate::broker) fn prefetch(&self, usual: u16) -> u16 {
        match self {
            Self::Prefetched => usual,
            Self::OneAtATime(_) => 1,
        }
    }

    pub(in crate::broker) fn received(&self, redelivered: bool) {
        self.report(if redelivered { ReturnedMessages::Held } else { ReturnedMessages::AllGone });
    }

    pub(in crate::broker) fn none_held(&self) {
        self.report(ReturnedMessages::NoneHeld);
    }

    fn report(&self, now: ReturnedMessages) {
        let Self::OneAtATime(returned) = self else { return };
        returned.send_if_modified(|before| {
            let changed = *before != now && *before != ReturnedMessages::AllGone;
            if changed {
                *before = now;
            }
            changed
        });
    }
}
