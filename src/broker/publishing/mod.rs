//! Messages that must get to a queue: a queue of publications, and the publisher that sends each until RabbitMQ has
//! confirmed it. Called by the router and by the lanes' consumers; does not know which message belongs to what.

mod destination;
pub(super) mod publication;
pub(super) mod publisher;
mod queue;
mod window;
