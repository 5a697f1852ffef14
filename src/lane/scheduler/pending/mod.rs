//! Calls that are in flight or wait to be sent, for the first time or again, and what their answers make of them. Asked
//! by the scheduler; must not choose among calls.

pub(super) mod answers;
pub(super) mod attribution;
pub(super) mod call_table;
pub(super) mod calls;
