//! When the account's selectors are read: once an event needs one, and from then on with the fields. One that cannot be
//! read is done without, and asked for again after a growing wait once an event needs it. Pure but for logs;
//! [`SchemaRefresh`](super::SchemaRefresh) calls it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::backoff::Delays;
use crate::delivery::AccountName;
use crate::schema::{Selector, Selectors};

/// Between attempts that end in an answer which is of no use.
const DELAYS: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));

/// What is known of the account's selectors, and what is on its way.
#[derive(Debug)]
pub(in crate::lane) struct Selecting {
    account: AccountName,
    known: Selectors,
    asked: BTreeMap<Selector, Asked>,
}

#[derive(Debug)]
struct Asked {
    state: State,
    delays: Delays,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Wanted,
    UnderWay,
    Read,
    /// Not to be asked for again before this time.
    Failed(Instant),
}

impl Selecting {
    pub(in crate::lane) fn new(account: AccountName) -> Self {
        Self { account, known: Selectors::default(), asked: BTreeMap::new() }
    }

    pub(in crate::lane) fn known(&self) -> Selectors {
        self.known.clone()
    }

    /// An event needs a selector that has not been read. Whether it is worth waiting for.
    pub(in crate::lane) fn need(&mut self, selector: Selector, now: Instant) -> bool {
        let asked = self
            .asked
            .entry(selector)
            .or_insert_with(|| Asked { state: State::Wanted, delays: Delays::new(DELAYS.0, DELAYS.1) });
        match asked.state {
            State::Wanted | State::UnderWay => true,
            State::Failed(until) if until > now => false,
            State::Failed(_) => {
                asked.state = State::Wanted;
                true
            }
            State::Read => false,
        }
    }

    /// The fields are read again, and with them what was read before.
    pub(in crate::lane) fn refresh(&mut self) {
        for asked in self.asked.values_mut().filter(|asked| asked.state == State::Read) {
            asked.state = State::Wanted;
        }
    }

    /// None is wanted or under way.
    pub(in crate::lane) fn settled(&self) -> bool {
        self.asked.values().all(|asked| matches!(asked.state, State::Read | State::Failed(_)))
    }

    /// The selectors to ask for now.
    pub(in crate::lane) fn ask(&mut self) -> Vec<Selector> {
        let wanted = self.asked.iter_mut().filter(|(_, asked)| asked.state == State::Wanted);
        let begin = |(selector, asked): (&Selector, &mut Asked)| {
            asked.state = State::UnderWay;
            *selector
        };
        wanted.map(begin).collect()
    }

    /// Takes an answer, or the status that came instead; 0 where none came.
    pub(in crate::lane) fn read(&mut self, selector: Selector, result: &Result<Value, u16>, now: Instant) {
        let Some(asked) = self.asked.get_mut(&selector) else { return };
        let why = match result {
            Ok(answer) if self.known.read(selector, answer) => {
                asked.state = State::Read;
                asked.delays.reset();
                return;
            }
            Ok(_) => "the answer cannot be understood".to_owned(),
            Err(0) => "Freshsales does not answer".to_owned(),
            Err(status) => format!("Freshsales answered {status}"),
        };
        asked.state = if self.known.knows(selector) {
            // What is known is better than nothing; it is asked for again with the fields.
            State::Read
        } else {
            State::Failed(now + asked.delays.following())
        };
        tracing::warn!(
            account = &*self.account,
            selector = selector.as_str(),
            why,
            "a selector cannot be read"
        );
    }

    /// Answers under way will not come.
    pub(in crate::lane) fn interrupted(&mut self) {
        let known = self.known.clone();
        self.asked.retain(|selector, asked| {
            if known.knows(*selector) {
                asked.state = State::Read;
            }
            matches!(asked.state, State::Read | State::Failed(_))
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWNERS: Selector = Selector::Owners;

    #[test]
    fn a_selector_is_read_once_it_is_needed_and_then_with_the_fields() {
        let now = Instant::now();
        let mut selecting = Selecting::new("acme".into());
        selecting.refresh();
        assert!(selecting.ask().is_empty() && selecting.settled(), "nobody needs one");
        assert!(selecting.need(OWNERS, now) && !selecting.settled());
        assert_eq!(selecting.ask(), [OWNERS]);
        assert!(selecting.need(OWNERS, now) && selecting.ask().is_empty(), "it is under way");
        selecting.read(OWNERS, &Ok(json!({"users": [{"id": 1, "email": "a@x.com"}]})), now);
        assert!(selecting.settled() && !selecting.need(OWNERS, now));
        selecting.refresh();
        assert_eq!(selecting.ask(), [OWNERS]);
        selecting.read(OWNERS, &Err(403), now);
        assert!(selecting.settled() && selecting.known().knows(OWNERS), "it is forgotten for a bad answer");
    }

    #[test]
    fn what_cannot_be_read_is_done_without_and_asked_for_again_after_growing_waits() {
        for odd in [Err(0), Err(403), Err(404), Ok(json!({"users": "none"}))] {
            let mut now = Instant::now();
            let mut selecting = Selecting::new("acme".into());
            let mut waits = Vec::new();
            for _ in 0..6 {
                assert!(selecting.need(OWNERS, now), "{odd:?}");
                assert_eq!(selecting.ask(), [OWNERS]);
                selecting.read(OWNERS, &odd, now);
                assert!(selecting.settled());
                let failed = now;
                while !selecting.need(OWNERS, now) {
                    assert!(selecting.ask().is_empty());
                    now += Duration::from_secs(1);
                }
                waits.push(now - failed);
            }
            assert!(waits[0] >= Duration::from_secs(30) && waits[5] >= Duration::from_mins(15), "{waits:?}");
        }
    }

    #[test]
    fn an_answer_that_will_not_come_is_asked_for_by_the_next_event() {
        let now = Instant::now();
        let mut selecting = Selecting::new("acme".into());
        selecting.need(OWNERS, now);
        selecting.ask();
        selecting.interrupted();
        assert!(selecting.settled() && selecting.need(OWNERS, now));
        assert_eq!(selecting.ask(), [OWNERS]);
    }
}
