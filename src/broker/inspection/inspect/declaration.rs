//! How a queue was declared, as far as AMQP shows it.
//!
//! AMQP does not show a queue's arguments. But RabbitMQ refuses to declare a queue again with others, and names the
//! first one that differs, with its value. So the queue is declared with Freshet's arguments, and each refusal corrects
//! them, until RabbitMQ agrees. Policies are not arguments, and do not show here. Nothing is changed, as the queue is
//! there.

use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::broker::amqp::channel::{self, short};
use crate::broker::amqp::refusal::{PRECONDITION_FAILED, is_refused};

/// More than a queue has arguments.
const DECLARE_ATTEMPTS: usize = 24;

/// A queue as it was declared, as far as AMQP shows it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::broker) struct Declaration {
    pub(super) arguments: FieldTable,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
}

impl Declaration {
    /// As Freshet declares its queues.
    pub(in crate::broker) fn ours(arguments: FieldTable) -> Self {
        Self { arguments, durable: true, auto_delete: false }
    }

    pub(super) fn argument(&self, name: &str) -> Option<&AMQPValue> {
        self.arguments.inner().get(name)
    }

    /// The value of an argument that is a text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.argument(name).and_then(AMQPValue::as_long_string).map(ToString::to_string)
    }
}

/// Declares a queue that is there, until RabbitMQ agrees with the arguments.
pub(in crate::broker) async fn find(
    connection: &Connection,
    queue: &str,
    ours: Declaration,
) -> lapin::Result<Declaration> {
    let mut guess = ours;
    for _ in 1..DECLARE_ATTEMPTS {
        match declare(connection, queue, &guess).await {
            Err(error) if is_refused(&error, PRECONDITION_FAILED) => {
                match corrected(&guess, &error.to_string()) {
                    Some(corrected) if corrected != guess => guess = corrected,
                    Some(_) | None => return Err(error),
                }
            }
            declared => return declared.map(|()| guess),
        }
    }
    declare(connection, queue, &guess).await.map(|()| guess)
}

async fn declare(connection: &Connection, queue: &str, found: &Declaration) -> lapin::Result<()> {
    // A refusal closes the channel.
    let channel = connection.create_channel().await?;
    let Declaration { durable, auto_delete, .. } = *found;
    let options = QueueDeclareOptions { durable, auto_delete, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(queue), options, found.arguments.clone()).await?;
    channel::close(&channel).await;
    Ok(())
}

/// The declaration as it should have been by RabbitMQ's refusal: `inequivalent arg 'x-expires' for queue 'q' in
/// vhost '/': received none but current is the value '1000' of type 'signedint'`.
fn corrected(declared: &Declaration, refusal: &str) -> Option<Declaration> {
    let (_, rest) = refusal.split_once("inequivalent arg '")?;
    let (name, rest) = rest.split_once('\'')?;
    // From the right: the queue's name may hold the same words.
    let (_, current) = rest.rsplit_once(" but current is ")?;
    let mut found = declared.clone();
    match (name, current.trim_end()) {
        ("durable", is) => found.durable = is == "'true'",
        ("auto_delete", is) => found.auto_delete = is == "'true'",
        (name, "none") => found.arguments = without(&found.arguments, name),
        (name, is) => _ = found.arguments.insert(ShortString::try_new(name).ok()?, value(is)?),
    }
    Some(found)
}

/// `the value 'stream' of type 'longstr'`, or `'stream'`.
fn value(text: &str) -> Option<AMQPValue> {
    let text = text.strip_prefix("the value ").unwrap_or(text);
    let (value, kind) = text.rsplit_once(" of type ").unwrap_or((text, "'longstr'"));
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(match kind {
        "'longstr'" => AMQPValue::LongString(value.into()),
        "'bool'" | "'boolean'" => AMQPValue::Boolean(value == "true"),
        _ => AMQPValue::LongLongInt(value.parse().ok()?),
    })
}

pub(super) fn without(arguments: &FieldTable, name: &str) -> FieldTable {
    let mut rest = FieldTable::default();
    for (key, value) in arguments.inner().iter().filter(|(key, _)| key.as_str() != name) {
        rest.insert(key.clone(), value.clone());
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topology;

    fn ours() -> Declaration {
        let mut arguments = topology::quorum();
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        Declaration::ours(arguments)
    }

    fn refusal(argument: &str, but: &str) -> String {
        format!(
            "protocol error: AMQP soft error: PRECONDITION-FAILED: PRECONDITION_FAILED - inequivalent arg '{argument}' \
             for queue 'its but current is none' in vhost '/': received {but}"
        )
    }

    #[test]
    fn a_refusal_says_how_the_queue_was_declared() {
        let text = [
            ("auto_delete", "'false' but current is 'true'"),
            ("durable", "'true' but current is 'false'"),
            ("x-queue-type", "'quorum' but current is 'stream'"),
            ("x-expires", "none but current is the value '1000' of type 'signedint'"),
            ("x-max-age", "none but current is the value '1D' of type 'longstr'"),
            ("x-overflow", "the value 'reject-publish' of type 'longstr' but current is none"),
        ];
        let found = text
            .iter()
            .fold(ours(), |found, (argument, but)| corrected(&found, &refusal(argument, but)).unwrap());
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        arguments.insert("x-expires".into(), AMQPValue::LongLongInt(1000));
        arguments.insert("x-max-age".into(), AMQPValue::LongString("1D".into()));
        assert_eq!(found, Declaration { arguments, durable: false, auto_delete: true });
        for other in ["PRECONDITION_FAILED - unknown delivery tag 1", "inequivalent arg 'x", ""] {
            assert_eq!(corrected(&ours(), other), None, "{other}");
        }
    }
}
