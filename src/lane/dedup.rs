//! What a lane remembers between events, bounded: messages settled lately.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroUsize;

use lru::LruCache;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

pub(super) const REMEMBERED: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// Remembers so many. Grows with what is remembered: most lanes of many never come near the bound.
pub(super) fn memory<K: std::hash::Hash + Eq, V>(bound: NonZeroUsize) -> LruCache<K, V> {
    let mut memory = LruCache::unbounded();
    memory.resize(bound);
    memory
}

/// Stands for a name in the memory. A sender may make a name as long as a body, and a hundred thousand
/// of those would be a hundred gigabytes. 128 bits under a key of this process: no two names meet.
#[derive(Debug)]
pub(super) struct Digests(u64, u64);

impl Digests {
    pub(super) fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self(random(), random())
    }

    pub(super) fn of(&self, name: &str) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(name.as_bytes());
        hasher.finish128().as_u128()
    }

    /// The same for names of several kinds, which are different whatever they are.
    pub(super) fn of_kind(&self, kind: u8, name: &str) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(&[kind]);
        hasher.write(name.as_bytes());
        hasher.finish128().as_u128()
    }
}

/// `messageId`s that need not be delivered again, and those on their way.
#[derive(Debug)]
pub(super) struct Messages<D> {
    digests: Digests,
    delivered: LruCache<u128, ()>,
    under_way: HashMap<u128, UnderWay<D>>,
    joined: usize,
}

/// A message that is being worked on.
#[derive(Debug)]
struct UnderWay<D> {
    /// How often: a copy that must win again is worked on beside the first.
    times: usize,
    /// Its duplicates, which are settled with it, once no copy of it is on its way.
    joined: Vec<D>,
}

/// What is known of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing.
    Not,
    /// It is on its way.
    UnderWay,
    /// It took effect.
    Delivered,
}

impl<D> Messages<D> {
    pub(super) fn new() -> Self {
        Self { digests: Digests::new(), delivered: memory(REMEMBERED), under_way: HashMap::new(), joined: 0 }
    }

    /// What is known of the message.
    pub(super) fn seen(&mut self, id: &str) -> Seen {
        let id = self.digests.of(id);
        if self.under_way.contains_key(&id) {
            Seen::UnderWay
        } else if self.delivered.get(&id).is_some() {
            Seen::Delivered
        } else {
            Seen::Not
        }
    }

    /// The message is being worked on.
    pub(super) fn begin(&mut self, id: &str) {
        let under_way = UnderWay { times: 0, joined: Vec::new() };
        self.under_way.entry(self.digests.of(id)).or_insert(under_way).times += 1;
    }

    /// Another delivery of a message on its way: what is owed for it waits for that one's end. Gives it back if the
    /// message is not on its way.
    pub(super) fn join(&mut self, id: &str, debt: D) -> Result<(), D> {
        let Some(under_way) = self.under_way.get_mut(&self.digests.of(id)) else { return Err(debt) };
        under_way.joined.push(debt);
        self.joined += 1;
        Ok(())
    }

    /// Deliveries that joined another one.
    pub(super) fn joined(&self) -> usize {
        self.joined
    }

    /// The message is no longer worked on; gives what joined it, once no copy of it is worked on either. Only what took
    /// effect is remembered: a dead letter that is sent back is no duplicate.
    pub(super) fn end(&mut self, id: &str, delivered: bool) -> Vec<D> {
        let id = self.digests.of(id);
        if delivered {
            self.delivered.put(id, ());
        }
        let Some(under_way) = self.under_way.get_mut(&id) else { return Vec::new() };
        under_way.times = under_way.times.saturating_sub(1);
        if under_way.times > 0 {
            return Vec::new();
        }
        let joined = self.under_way.remove(&id).map(|under_way| under_way.joined).unwrap_or_default();
        self.joined -= joined.len();
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_took_effect_is_remembered() {
        let mut messages: Messages<u8> = Messages::new();
        assert_eq!(messages.seen("m"), Seen::Not);
        messages.begin("m");
        assert_eq!(messages.seen("m"), Seen::UnderWay);
        assert!(messages.end("m", false).is_empty());
        assert_eq!(messages.seen("m"), Seen::Not);
        messages.begin("m");
        assert!(messages.end("m", true).is_empty());
        assert_eq!(messages.seen("m"), Seen::Delivered);
    }

    #[test]
    fn what_joined_a_message_is_given_when_no_copy_of_it_is_worked_on() {
        let mut messages = Messages::new();
        assert_eq!(messages.join("m", 0), Err(0));
        messages.begin("m");
        messages.begin("other");
        assert_eq!((messages.join("m", 1), messages.join("m", 2)), (Ok(()), Ok(())));
        // A copy that must win again.
        messages.begin("m");
        assert_eq!(messages.join("m", 3), Ok(()));
        assert_eq!(messages.joined(), 3);
        assert!(messages.end("m", true).is_empty());
        assert_eq!(messages.seen("m"), Seen::UnderWay);
        assert_eq!(messages.end("m", false), [1, 2, 3]);
        assert_eq!((messages.seen("m"), messages.joined()), (Seen::Delivered, 0));
        assert!(messages.end("m", false).is_empty());
    }
}
