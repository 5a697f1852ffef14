//! Which contact an identify is about, where its e-mail address alone does not say: an identify without an address, and a
//! `userId` that comes with another address than before.
//!
//! Freshsales' `external_id` is unique. So an identify is first written by its address, unless this lane knows better; a
//! refusal may mean that another contact has its `userId`. That contact then gets the address.
//!
//! [`identify`] is asked before each step, [`refusals`] after a refusal, [`look_ups`] after a look-up, [`learned`] when
//! the events end. [`progress`] is what is known meanwhile.

pub(in crate::lane) mod addresses;
mod emails;
pub(in crate::lane) mod identify;
pub(in crate::lane) mod learned;
pub(in crate::lane) mod look_ups;
pub(in crate::lane) mod progress;
pub(in crate::lane) mod refusals;

/// How often events are put back to wait for an address that was found later, and how often a contact that was found may
/// turn out to be another one. More only happens if answers contradict each other.
const MOST_TRIES: u8 = 3;
