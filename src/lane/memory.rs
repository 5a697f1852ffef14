//! What a lane remembers between events, bounded: messages settled lately, and who a `userId` is.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use lru::LruCache;

const REMEMBERED: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// `messageId`s that need not be delivered again.
#[derive(Debug)]
pub(super) struct Messages {
    delivered: LruCache<String, ()>,
    pending: HashSet<String>,
}

impl Messages {
    pub(super) fn new() -> Self {
        Self { delivered: LruCache::new(REMEMBERED), pending: HashSet::new() }
    }

    /// Notes that the message is being worked on; false if it is or was already.
    pub(super) fn begin(&mut self, id: &str) -> bool {
        self.delivered.get(id).is_none() && self.pending.insert(id.to_owned())
    }

    /// Only what took effect is remembered: a dead letter that is sent back is no duplicate.
    pub(super) fn end(&mut self, id: &str, delivered: bool) {
        self.pending.remove(id);
        if delivered {
            self.delivered.put(id.to_owned(), ());
        }
    }
}

/// The e-mail address behind a `userId`, as identifies and look-ups told.
#[derive(Debug)]
pub(super) struct Identities(LruCache<String, Option<String>>);

impl Identities {
    pub(super) fn new() -> Self {
        Self(LruCache::new(REMEMBERED))
    }

    /// The address, where one is known.
    pub(super) fn email(&self, user_id: &str) -> Option<String> {
        self.0.peek(user_id).cloned().flatten()
    }

    /// Whether it is worth looking up.
    pub(super) fn unknown(&self, user_id: &str) -> bool {
        !self.0.contains(user_id)
    }

    /// `None`: it was looked up in vain.
    pub(super) fn learn(&mut self, user_id: &str, email: Option<String>) {
        self.0.put(user_id.to_owned(), email);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_worked_on_once_and_remembered_only_if_delivered() {
        let mut messages = Messages::new();
        assert!(messages.begin("m"));
        assert!(!messages.begin("m"));
        messages.end("m", false);
        assert!(messages.begin("m"));
        messages.end("m", true);
        assert!(!messages.begin("m"));
    }
}
