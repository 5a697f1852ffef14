//! What a lane may remember: least-recently-used maps with a bound, and digests that stand for names of any length.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroUsize;

use lru::LruCache;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// How many `messageId`s, and how many identities, a lane remembers.
pub(super) const REMEMBERED_IDS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// A map that keeps the `bound` entries used last. Its memory grows with its entries, because most of many lanes never
/// come near the bound.
pub(super) fn lru<K: std::hash::Hash + Eq, V>(bound: NonZeroUsize) -> LruCache<K, V> {
    let mut map = LruCache::unbounded();
    map.resize(bound);
    map
}

/// Makes digests of names. A sender may make a name as long as a body, and a hundred thousand of those would be a
/// hundred gigabytes. The key is random for each process, so nobody can make two names with one digest of 128 bits.
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

    /// Names of different kinds have different digests even when the names are the same.
    pub(super) fn of_kind(&self, kind: u8, name: &str) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(&[kind]);
        hasher.write(name.as_bytes());
        hasher.finish128().as_u128()
    }
}
