//! What a lane remembers of its account, so that it need not ask again. Bounded, in memory, and lost with the process.

pub(in crate::lane) mod contacts;
pub(in crate::lane) mod fact;
pub(in crate::lane) mod identities;
pub(in crate::lane) mod records;
