//! The walk over frames, without what is sent.

#[path = "../../../../src/broker/transport/frames/fields.rs"]
pub(super) mod fields;
#[path = "../../../../src/broker/transport/frames/oversize.rs"]
mod oversize;
#[path = "../../../../src/broker/transport/frames/properties.rs"]
mod properties;
#[path = "../../../../src/broker/transport/frames/walker.rs"]
pub(super) mod walker;
#[path = "../../../../src/broker/transport/frames/wire.rs"]
pub(super) mod wire;
