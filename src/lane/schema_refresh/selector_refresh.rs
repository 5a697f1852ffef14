//! Decides when the account's selectors are read: a selector is first read when an event needs it, and then each time with
//! the fields. If it cannot be read, events go on without it, and after a growing wait the next event that needs it has
//! it read again. [`SchemaRefresh`](super::SchemaRefresh) calls this. Pure but for logs and jitter.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::time::Instant;

use crate::backoff::Delays;
use crate::delivery::AccountName;
use crate::lane::timing::SELECTOR_RETRY;
use crate::schema::{Selector, Selectors};

/// The account's selectors that were read, and those being read.
#[derive(Debug)]
pub(super) struct SelectorRefresh {
    account: AccountName,
    known: Selectors,
    needed: BTreeMap<Selector, Needed>,
}

#[derive(Debug)]
struct Needed {
    state: SelectorState,
    delays: Delays,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SelectorState {
    Requested,
    UnderWay,
    Read,
    /// Not to be read again before this time.
    Failed(Instant),
}

impl SelectorRefresh {
    pub(super) fn new(account: AccountName) -> Self {
        Self { account, known: Selectors::default(), needed: BTreeMap::new() }
    }

    pub(super) fn known(&self) -> Selectors {
        self.known.clone()
    }

    /// Whether an event that needs this selector must wait until it is read.
    pub(super) fn must_read(&mut self, selector: Selector, now: Instant) -> bool {
        let needed = self.needed.entry(selector).or_insert_with(|| Needed {
            state: SelectorState::Requested,
            delays: Delays::new(SELECTOR_RETRY.0, SELECTOR_RETRY.1),
        });
        match needed.state {
            SelectorState::Requested | SelectorState::UnderWay => true,
            SelectorState::Failed(until) if until > now => false,
            SelectorState::Failed(_) => {
                needed.state = SelectorState::Requested;
                true
            }
            SelectorState::Read => false,
        }
    }

    /// The fields are read again, and with them each selector that was read before.
    pub(super) fn refresh(&mut self) {
        for needed in self.needed.values_mut().filter(|needed| needed.state == SelectorState::Read) {
            needed.state = SelectorState::Requested;
        }
    }

    /// Whether none is being read or about to be.
    pub(super) fn is_settled(&self) -> bool {
        self.needed
            .values()
            .all(|needed| matches!(needed.state, SelectorState::Read | SelectorState::Failed(_)))
    }

    /// The selectors that are to be read now.
    pub(super) fn due(&mut self) -> Vec<Selector> {
        let requested = self.needed.iter_mut().filter(|(_, needed)| needed.state == SelectorState::Requested);
        let begin = |(selector, needed): (&Selector, &mut Needed)| {
            needed.state = SelectorState::UnderWay;
            *selector
        };
        requested.map(begin).collect()
    }

    /// Takes an answer, or the status that came instead; 0 where none came.
    pub(super) fn take(&mut self, selector: Selector, result: &Result<Value, u16>, now: Instant) {
        let Some(needed) = self.needed.get_mut(&selector) else { return };
        let why = match result {
            Ok(answer) if self.known.read(selector, answer) => {
                needed.state = SelectorState::Read;
                needed.delays.reset();
                return;
            }
            Ok(_) => "the answer cannot be understood".to_owned(),
            Err(0) => "Freshsales does not answer".to_owned(),
            Err(status) => format!("Freshsales answered {status}"),
        };
        needed.state = if self.known.knows(selector) {
            // The old one is better than none; it is read again with the fields.
            SelectorState::Read
        } else {
            SelectorState::Failed(now + needed.delays.following())
        };
        tracing::warn!(
            account = &*self.account,
            selector = selector.as_str(),
            why,
            "a selector cannot be read"
        );
    }

    /// The answers to what is being read will not come.
    pub(super) fn interrupt(&mut self) {
        let known = self.known.clone();
        self.needed.retain(|selector, needed| {
            if known.knows(*selector) {
                needed.state = SelectorState::Read;
            }
            matches!(needed.state, SelectorState::Read | SelectorState::Failed(_))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const OWNERS: Selector = Selector::Owners;

    #[test]
    fn a_selector_is_read_once_it_is_needed_and_then_with_the_fields() {
        let now = Instant::now();
        let mut selectors = SelectorRefresh::new("acme".into());
        selectors.refresh();
        assert!(selectors.due().is_empty() && selectors.is_settled(), "no event needs one");
        assert!(selectors.must_read(OWNERS, now) && !selectors.is_settled());
        assert_eq!(selectors.due(), [OWNERS]);
        assert!(selectors.must_read(OWNERS, now) && selectors.due().is_empty(), "it is under way");
        selectors.take(OWNERS, &Ok(json!({"users": [{"id": 1, "email": "a@x.com"}]})), now);
        assert!(selectors.is_settled() && !selectors.must_read(OWNERS, now));
        selectors.refresh();
        assert_eq!(selectors.due(), [OWNERS]);
        selectors.take(OWNERS, &Err(403), now);
        assert!(selectors.is_settled() && selectors.known().knows(OWNERS), "a bad answer takes it away");
    }

    #[test]
    fn events_go_on_without_an_unreadable_selector_which_is_read_again_after_growing_waits() {
        for odd in [Err(0), Err(403), Err(404), Ok(json!({"users": "none"}))] {
            let mut now = Instant::now();
            let mut selectors = SelectorRefresh::new("acme".into());
            let mut waits = Vec::new();
            for _ in 0..6 {
                assert!(selectors.must_read(OWNERS, now), "{odd:?}");
                assert_eq!(selectors.due(), [OWNERS]);
                selectors.take(OWNERS, &odd, now);
                assert!(selectors.is_settled());
                let failed = now;
                while !selectors.must_read(OWNERS, now) {
                    assert!(selectors.due().is_empty());
                    now += Duration::from_secs(1);
                }
                waits.push(now - failed);
            }
            assert!(waits[0] >= Duration::from_secs(30) && waits[5] >= Duration::from_mins(15), "{waits:?}");
        }
    }

    #[test]
    fn after_an_interruption_the_next_event_has_the_selector_read() {
        let now = Instant::now();
        let mut selectors = SelectorRefresh::new("acme".into());
        selectors.must_read(OWNERS, now);
        selectors.due();
        selectors.interrupt();
        assert!(selectors.is_settled() && selectors.must_read(OWNERS, now));
        assert_eq!(selectors.due(), [OWNERS]);
    }
}
