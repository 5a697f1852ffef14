//! How many messages of a queue are taken at once.

use tokio::sync::watch;

/// How many messages of a queue are taken at once.
#[derive(Debug, Clone)]
pub(in crate::broker) enum Pace {
    /// The usual prefetch.
    Together,
    /// One at a time: no other comes back with one that the broker cannot hand out. Told how that goes.
    Singly(watch::Sender<Progress>),
}

/// How it goes with a queue that is worked one message at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Progress {
    /// A message is held that came back before.
    HeldBytes,
    /// None is.
    Idle,
    /// One came that never came back. What came back is handed out before it, so nothing of that is left.
    Over,
}

impl Pace {
    /// The prefetch to subscribe with, where this is the usual one.
    pub(in crate::broker) fn prefetch(&self, usual: u16) -> u16 {
        match self {
            Self::Together => usual,
            Self::Singly(_) => 1,
        }
    }

    /// A message came.
    pub(in crate::broker) fn took(&self, redelivered: bool) {
        self.tell(if redelivered { Progress::HeldBytes } else { Progress::Over });
    }

    /// No message is held.
    pub(in crate::broker) fn rests(&self) {
        self.tell(Progress::Idle);
    }

    fn tell(&self, news: Progress) {
        let Self::Singly(progress) = self else { return };
        progress.send_if_modified(|progress| {
            let changed = *progress != news && *progress != Progress::Over;
            if changed {
                *progress = news;
            }
            changed
        });
    }
}
