//! Messages that must get to a queue: a queue of publications, and the publisher that sends each until RabbitMQ has
//! confirmed it. Called by the router and by the lanes' consumers.

pub(super) mod publisher;
pub(super) mod queue;
