//! Why a call came to nothing, and what is tried before its record becomes a dead letter. Asked by the scheduler with an
//! answer; must not know what else waits.

pub(in crate::lane) mod refusal;
pub(in crate::lane) mod remedy;
pub(in crate::lane) mod trial;
