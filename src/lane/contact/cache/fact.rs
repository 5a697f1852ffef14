//! Names one thing that a cache knows, so that whoever relies on it can be found when it changes. A digest: should two
//! things ever share one, somebody looks once too often.

use std::hash::{Hash, Hasher as _};

use siphasher::sip::SipHasher13;

use crate::schema::Entity;

/// One thing that a cache knows or does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lane) struct FactKey(u64);

impl FactKey {
    /// The id of the sales account of this name.
    pub(in crate::lane) fn account(name: &str) -> Self {
        Self::of(0, name.to_lowercase())
    }

    /// Whether the sales account was last written with the values of this fingerprint.
    pub(in crate::lane) fn account_values(name: &str, fingerprint: u64) -> Self {
        Self::of(1, (name.to_lowercase(), fingerprint))
    }

    /// The id and the links of the contact of this address.
    pub(in crate::lane) fn contact(email: &str) -> Self {
        Self::of(2, email)
    }

    /// The contact's deal of this name.
    pub(in crate::lane) fn deal(contact: i64, name: &str) -> Self {
        Self::of(3, (contact, name.trim().to_lowercase()))
    }

    /// The record's tags.
    pub(in crate::lane) fn tags(entity: Entity, id: i64) -> Self {
        Self::of(4, (entity, id))
    }

    /// Whether the `userId` of this digest must be looked up.
    pub(in crate::lane) fn identity(user_id: u128) -> Self {
        Self::of(5, user_id)
    }

    fn of(kind: u8, name: impl Hash) -> Self {
        let mut hasher = SipHasher13::new();
        (kind, name).hash(&mut hasher);
        Self(hasher.finish())
    }
}
