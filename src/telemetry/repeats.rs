//! Counts like log lines: the first few of an interval are written, the others held back and counted. Pure: the time is
//! handed in.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::kind::{KindTexts, LineKind};

/// So many lines of one kind are written in [`INTERVAL`].
pub(super) const WRITTEN: u64 = 5;
/// How long lines of a kind are held back until their number is told.
pub(super) const INTERVAL: Duration = Duration::from_mins(1);
/// How many kinds are counted apart. Further ones are counted together, by the place in the code that they come from.
const KINDS: usize = 4096;

/// The kinds of lines of the last interval.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashMap<LineKind, Repeated>);

#[derive(Debug)]
struct Repeated {
    since: Instant,
    lines: u64,
    level: Level,
    texts: KindTexts,
}

/// How many lines of one kind were not written, within how long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeldBack {
    pub(super) level: Level,
    pub(super) texts: KindTexts,
    pub(super) lines: u64,
    pub(super) within: Duration,
}

impl Repeats {
    /// Counts a line. True if it is to be written.
    pub(super) fn admit(
        &mut self,
        mut kind: LineKind,
        level: Level,
        now: Instant,
        texts: impl FnOnce() -> KindTexts,
    ) -> bool {
        let known = self.0.contains_key(&kind);
        let full = !known && self.0.len() >= KINDS;
        if full {
            kind = kind.rest_of_its_place();
        }
        let repeated = self.0.entry(kind).or_insert_with(|| {
            let texts = if full { texts().without_fields() } else { texts() };
            Repeated { since: now, lines: 0, level, texts }
        });
        repeated.lines += 1;
        repeated.lines <= WRITTEN
    }

    /// Forgets the kinds whose interval is over, and returns what was held back of them.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<HeldBack> {
        let due = |repeated: &Repeated| now.saturating_duration_since(repeated.since) >= INTERVAL;
        let over = self.0.extract_if(|_, repeated| due(repeated)).map(|(_, repeated)| repeated);
        over.filter_map(|repeated| repeated.held_back(now)).collect()
    }

    #[cfg(test)]
    pub(super) fn kinds(&self) -> usize {
        self.0.len()
    }

    /// Forgets every kind, and returns what was held back of them.
    pub(super) fn take_all(&mut self, now: Instant) -> Vec<HeldBack> {
        self.0.drain().filter_map(|(_, repeated)| repeated.held_back(now)).collect()
    }
}

impl Repeated {
    fn held_back(self, now: Instant) -> Option<HeldBack> {
        let Self { since, lines, level, texts } = self;
        let lines = lines.checked_sub(WRITTEN).filter(|lines| *lines > 0)?;
        Some(HeldBack { level, texts, lines, within: now.saturating_duration_since(since) })
    }
}
