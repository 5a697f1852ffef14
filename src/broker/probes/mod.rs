//! Find out what RabbitMQ does not say while the connection stands: that it confirms nothing, that it delivers nothing, or
//! that another replica goes by this one's name. Must not know what a message holds. Started by the session and by what
//! consumes a queue.

pub(super) mod confirm_probe;
pub(super) mod queue_depths;
pub(super) mod replica_name;
pub(super) mod starved_consumer;
