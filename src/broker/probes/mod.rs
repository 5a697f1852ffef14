//! What finds out that RabbitMQ does not do its part although the connection stands: it confirms nothing, it hands out
//! nothing, or another replica goes by our name. Started by the session.

pub(super) mod confirm_probe;
pub(super) mod replica_name;
pub(super) mod starved_consumer;
