//! Frames, one connection's bytes at a time: made readable on their way in, and small enough on their way out. Pure, and
//! for any chunks. Must not know sockets. Called by the stream.

pub(super) mod fields;
pub(super) mod outgoing;
mod oversize;
mod properties;
pub(super) mod walker;
pub(super) mod wire;
