//! What a lane remembers of an account's records and of its people, bounded.

pub(in crate::lane) mod identities;
pub(in crate::lane) mod records;
