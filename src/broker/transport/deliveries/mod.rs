//! The deliveries among the frames of one connection: which came lately, and which are held back. Pure. Fed by the
//! stream; asked by the session, and by the search for messages that cannot be read.

pub(super) mod filter;
pub(super) mod recent;
