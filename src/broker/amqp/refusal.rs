//! What RabbitMQ refuses, by the reply code that AMQP gives it.

use lapin::ErrorKind;

pub(in crate::broker) const ACCESS_REFUSED: u16 = 403;
pub(in crate::broker) const NOT_FOUND: u16 = 404;
pub(in crate::broker) const RESOURCE_LOCKED: u16 = 405;
pub(in crate::broker) const PRECONDITION_FAILED: u16 = 406;

/// Whether the broker answered with this reply code.
pub(in crate::broker) fn is_refused(error: &lapin::Error, code: u16) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == code)
}

/// Why a queue cannot be consumed, in words for the operator; `None` where the error is not about the queue.
///
/// A consumer of a stream gets only what is published from then on, and silently passes over the messages that waited.
pub(in crate::broker) fn unusable(error: &lapin::Error, queue: &str) -> Option<String> {
    let message = error.to_string();
    if is_refused(error, PRECONDITION_FAILED) && message.contains("rabbit_stream_queue") {
        Some(format!(
            "{queue} is a stream, whose consumers do not get what was published before they came; put a quorum queue in \
             its place"
        ))
    } else if is_refused(error, RESOURCE_LOCKED) {
        Some(format!("{queue} is exclusive to another connection; put a quorum queue in its place"))
    } else {
        is_refused(error, ACCESS_REFUSED).then_some(message)
    }
}
