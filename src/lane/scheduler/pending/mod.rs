//! Calls that are in flight or wait to be sent again, and what their answers make of them. Asked by the scheduler; must not
//! know how a call is planned.

pub(super) mod answers;
pub(super) mod attribution;
pub(super) mod call_table;
pub(super) mod calls;
