//! What a lane remembers between events, bounded: messages settled lately, and who a `userId` is.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

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
pub(super) struct Identities(Mutex<LruCache<String, Option<String>>>);

/// What is known of a `userId`.
pub(super) enum Recalled {
    Email(String),
    LookedUpInVain,
    Unknown,
}

impl Identities {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }

    pub(super) fn recall(&self, user_id: &str) -> Recalled {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).get(user_id) {
            Some(Some(email)) => Recalled::Email(email.clone()),
            Some(None) => Recalled::LookedUpInVain,
            None => Recalled::Unknown,
        }
    }

    /// An identify or a look-up told the address.
    pub(super) fn learn(&self, user_id: &str, email: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(user_id.to_owned(), Some(email));
    }

    /// A look-up found nobody. An address that became known meanwhile stays.
    pub(super) fn looked_up_in_vain(&self, user_id: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(user_id.to_owned(), || None);
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
