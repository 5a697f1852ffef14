//! Messages that connections end over, because the client library cannot read them or the broker cannot hand them out.
//! One such message must not keep the other accounts' events from being delivered.
//!
//! When a connection ends over what it delivered, the session names the queues that it may be: the suspects. The next
//! session leaves them out and gives them to [`isolation::Isolation`]. That searches them for the message, consumes the
//! queue that holds one on connections of its own, and gives the others back to the session. [`quarantine::Quarantine`]
//! remembers from one session to the next which queue is what.

pub(super) mod apart;
pub(super) mod errors;
pub(super) mod isolation;
pub(super) mod quarantine;
mod removal;
mod search;
