//! Misbehaviour on demand: what a fault is, which requests it strikes, and what happens to their connections. Each exchange
//! asks; `/_sandbox/faults` sets them. Must not know the account.

pub(in crate::sandbox) mod fault_spec;
pub(in crate::sandbox) mod faults;
pub(in crate::sandbox) mod resettable_connection;
