//! Recognises deliveries of a message that was delivered or is being worked on, by its `messageId`. The settler asks here.

use std::collections::HashMap;

use lru::LruCache;

use super::bounded::{Digests, REMEMBERED_IDS, lru};

/// The `messageId`s of messages delivered lately, and of those being worked on. `D` is a delivery.
#[derive(Debug)]
pub(super) struct Dedup<D> {
    digests: Digests,
    delivered: LruCache<u128, ()>,
    under_way: HashMap<u128, UnderWay<D>>,
    waiting: usize,
}

/// A message that is being worked on.
#[derive(Debug)]
struct UnderWay<D> {
    /// How many copies: one that must be written again is worked on beside the first.
    copies: usize,
    /// Duplicates that are settled once no copy is worked on.
    duplicates: Vec<D>,
}

/// What is known of a `messageId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageState {
    Unknown,
    UnderWay,
    Delivered,
}

impl<D> Dedup<D> {
    pub(super) fn new() -> Self {
        Self {
            digests: Digests::new(),
            delivered: lru(REMEMBERED_IDS),
            under_way: HashMap::new(),
            waiting: 0,
        }
    }

    pub(super) fn state_of(&mut self, id: &str) -> MessageState {
        let id = self.digests.of(id);
        if self.under_way.contains_key(&id) {
            MessageState::UnderWay
        } else if self.delivered.get(&id).is_some() {
            MessageState::Delivered
        } else {
            MessageState::Unknown
        }
    }

    /// A copy of the message is worked on from now on.
    pub(super) fn begin(&mut self, id: &str) {
        let under_way = UnderWay { copies: 0, duplicates: Vec::new() };
        self.under_way.entry(self.digests.of(id)).or_insert(under_way).copies += 1;
    }

    /// Lets a duplicate wait for the end of the message it repeats. Gives it back if that is not being worked on.
    pub(super) fn join(&mut self, id: &str, duplicate: D) -> Result<(), D> {
        let Some(under_way) = self.under_way.get_mut(&self.digests.of(id)) else { return Err(duplicate) };
        under_way.duplicates.push(duplicate);
        self.waiting += 1;
        Ok(())
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// A copy of the message is no longer worked on. Returns the duplicates once no copy is. Only delivered messages are
    /// remembered: a dead letter that is published again is no duplicate.
    pub(super) fn end(&mut self, id: &str, delivered: bool) -> Vec<D> {
        let id = self.digests.of(id);
        if delivered {
            self.delivered.put(id, ());
        }
        let Some(under_way) = self.under_way.get_mut(&id) else { return Vec::new() };
        under_way.copies = under_way.copies.saturating_sub(1);
        if under_way.copies > 0 {
            return Vec::new();
        }
        let duplicates = self.under_way.remove(&id).map(|under_way| under_way.duplicates).unwrap_or_default();
        self.waiting -= duplicates.len();
        duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_delivered_messages_are_remembered() {
        let mut messages: Dedup<u8> = Dedup::new();
        assert_eq!(messages.state_of("m"), MessageState::Unknown);
        messages.begin("m");
        assert_eq!(messages.state_of("m"), MessageState::UnderWay);
        assert!(messages.end("m", false).is_empty());
        assert_eq!(messages.state_of("m"), MessageState::Unknown);
        messages.begin("m");
        assert!(messages.end("m", true).is_empty());
        assert_eq!(messages.state_of("m"), MessageState::Delivered);
    }

    #[test]
    fn duplicates_are_returned_when_no_copy_of_the_message_is_worked_on() {
        let mut messages = Dedup::new();
        assert_eq!(messages.join("m", 0), Err(0));
        messages.begin("m");
        messages.begin("other");
        assert_eq!((messages.join("m", 1), messages.join("m", 2)), (Ok(()), Ok(())));
        // A copy that must be written again.
        messages.begin("m");
        assert_eq!(messages.join("m", 3), Ok(()));
        assert_eq!(messages.waiting(), 3);
        assert!(messages.end("m", true).is_empty());
        assert_eq!(messages.state_of("m"), MessageState::UnderWay);
        assert_eq!(messages.end("m", false), [1, 2, 3]);
        assert_eq!((messages.state_of("m"), messages.waiting()), (MessageState::Delivered, 0));
        assert!(messages.end("m", false).is_empty());
    }
}
