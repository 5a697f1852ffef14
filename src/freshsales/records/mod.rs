//! What answers hold: contacts, deals, rows of a search, reports of jobs. Pure, and read for what they show and nothing
//! more.

pub(in crate::freshsales) mod contact;
pub(in crate::freshsales) mod deals;
pub(in crate::freshsales) mod job;
pub(in crate::freshsales) mod record;
pub(in crate::freshsales) mod search;
