//! What the walk writes the deliveries into.

#[path = "../../../../src/broker/transport/deliveries/recent.rs"]
pub(super) mod recent;
