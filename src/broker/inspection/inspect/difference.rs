//! What differs between a queue and how Freshet would have declared it, and what follows from that. Pure. The daemon warns
//! of differences by which messages may be lost; the survey shows all.

use std::fmt;

use lapin::types::AMQPValue;

use super::declaration::Declaration;

/// The types of queue that are named in words.
const STREAM: &str = "stream";
const QUORUM: &str = "quorum";

/// One thing that is not as Freshet would have declared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueDifference {
    /// RabbitMQ deletes it with its last consumer.
    AutoDelete,
    /// It does not outlive a restart.
    NotDurable,
    /// RabbitMQ deletes it when nobody uses it.
    Expires,
    /// RabbitMQ takes out what waits too long.
    MessageTtl,
    /// RabbitMQ takes out the oldest messages when it is full.
    DropsWhenFull {
        /// The limit that it may reach.
        argument: &'static str,
    },
    /// Not a queue whose messages can be taken out singly.
    Stream,
    /// A queue of another type.
    Type {
        /// Its type.
        found: String,
    },
    /// Several replicas may consume it at once.
    SharedByConsumers,
    /// Returns are counted to another limit.
    DeliveryLimit {
        /// `None`: the broker's own default.
        found: Option<i64>,
        /// Freshet's.
        expected: i64,
    },
    /// What is over the delivery limit is dropped.
    NoDeadLetterExchange,
    /// Dead-lettered elsewhere.
    DeadLetterExchange {
        /// Where to.
        found: String,
    },
    /// Events may wait for quota no longer than this.
    ConsumerTimeout {
        /// In milliseconds; `None`: the broker's own default.
        found: Option<i64>,
    },
    /// Another argument.
    Other {
        /// Its name.
        argument: String,
        /// Its value, or `none`.
        found: String,
        /// Freshet's, or `none`.
        expected: String,
    },
}

impl QueueDifference {
    /// Whether waiting messages may be lost by it.
    pub fn may_lose(&self) -> bool {
        match self {
            Self::AutoDelete
            | Self::NotDurable
            | Self::Expires
            | Self::MessageTtl
            | Self::DropsWhenFull { .. }
            | Self::Stream => true,
            Self::Type { .. }
            | Self::SharedByConsumers
            | Self::DeliveryLimit { .. }
            | Self::NoDeadLetterExchange
            | Self::DeadLetterExchange { .. }
            | Self::ConsumerTimeout { .. }
            | Self::Other { .. } => false,
        }
    }
}

impl fmt::Display for QueueDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AutoDelete => f.write_str(
                "auto-delete: RabbitMQ deletes it, with all that waits, when its last consumer leaves",
            ),
            Self::NotDurable => f.write_str("not durable: it is gone after a restart of RabbitMQ"),
            Self::Expires => {
                f.write_str("x-expires: RabbitMQ deletes it, with all that waits, when nobody uses it")
            }
            Self::MessageTtl => f.write_str("x-message-ttl: RabbitMQ takes out what waits too long"),
            Self::DropsWhenFull { argument } => {
                write!(f, "{argument}: RabbitMQ takes out the oldest messages when it is full")
            }
            Self::Stream => {
                f.write_str("a stream: messages go when they are old, and cannot be taken out singly")
            }
            Self::Type { found } => write!(
                f,
                "a {found} queue: it is not handed over by priority, and may not survive the loss of a node"
            ),
            Self::SharedByConsumers => f.write_str(
                "no x-single-active-consumer: several replicas consume it at once, and keep neither order nor quota",
            ),
            Self::DeliveryLimit { found: Some(found), expected } => {
                write!(f, "x-delivery-limit is {found} and not {expected}")
            }
            Self::DeliveryLimit { found: None, expected } => {
                write!(f, "no x-delivery-limit, which is {expected} on Freshet's own; RabbitMQ 4 takes 20")
            }
            Self::NoDeadLetterExchange => {
                f.write_str("no x-dead-letter-exchange: what comes back too often is dropped")
            }
            Self::DeadLetterExchange { found } => {
                write!(f, "x-dead-letter-exchange is {found}: what comes back too often goes there")
            }
            Self::ConsumerTimeout { found: Some(found) } => {
                write!(f, "x-consumer-timeout is {found} ms: what waits longer for quota is handed out again")
            }
            Self::ConsumerTimeout { found: None } => f.write_str(
                "no x-consumer-timeout: what waits longer than RabbitMQ's own, 30 minutes, is handed out again",
            ),
            Self::Other { argument, found, expected } => {
                write!(f, "{argument} is {found} and not {expected}")
            }
        }
    }
}

/// All differences, those first by which messages may be lost.
pub(in crate::broker) fn differences(ours: &Declaration, found: &Declaration) -> Vec<QueueDifference> {
    let mut differences = losses(found);
    let kind = found.text("x-queue-type").unwrap_or_else(|| "classic".to_owned());
    if kind != QUORUM && kind != STREAM {
        differences.push(QueueDifference::Type { found: kind });
    }
    differences.extend(
        ours.arguments.inner().iter().filter_map(|(name, expected)| changed(name.as_str(), expected, found)),
    );
    let added = found.arguments.inner().iter().filter(|(name, _)| ours.argument(name.as_str()).is_none());
    let told =
        ["x-queue-type", "x-expires", "x-message-ttl", "x-max-length", "x-max-length-bytes", "x-max-age"];
    differences.extend(added.filter(|(name, _)| !told.contains(&name.as_str())).map(|(name, value)| {
        QueueDifference::Other {
            argument: name.to_string(),
            found: shown(Some(value)),
            expected: shown(None),
        }
    }));
    differences
}

/// An argument of Freshet's own that is missing or another one.
fn changed(name: &str, expected: &AMQPValue, found: &Declaration) -> Option<QueueDifference> {
    let value = found.argument(name);
    let number = |value: &AMQPValue| value.as_long_long_int();
    if value.is_some_and(|value| {
        value == expected || (number(value).is_some() && number(value) == number(expected))
    }) {
        return None;
    }
    Some(match name {
        "x-queue-type" => return None,
        "x-single-active-consumer" => QueueDifference::SharedByConsumers,
        "x-delivery-limit" => QueueDifference::DeliveryLimit {
            found: value.and_then(number),
            expected: number(expected).unwrap_or_default(),
        },
        "x-dead-letter-exchange" => match found.text(name) {
            None => QueueDifference::NoDeadLetterExchange,
            Some(found) => QueueDifference::DeadLetterExchange { found },
        },
        // Without an exchange they have no effect.
        "x-dead-letter-routing-key" | "x-dead-letter-strategy"
            if found.argument("x-dead-letter-exchange").is_none() =>
        {
            return None;
        }
        "x-consumer-timeout" => QueueDifference::ConsumerTimeout { found: value.and_then(number) },
        name => QueueDifference::Other {
            argument: name.to_owned(),
            found: shown(value),
            expected: shown(Some(expected)),
        },
    })
}

fn losses(found: &Declaration) -> Vec<QueueDifference> {
    let has = |name: &str| found.argument(name).is_some();
    let mut losses = Vec::new();
    if found.auto_delete {
        losses.push(QueueDifference::AutoDelete);
    }
    if !found.durable {
        losses.push(QueueDifference::NotDurable);
    }
    if has("x-expires") {
        losses.push(QueueDifference::Expires);
    }
    if has("x-message-ttl") {
        losses.push(QueueDifference::MessageTtl);
    }
    // A queue that refuses publishes loses nothing: its publishers see the refusal.
    let refuses = found.text("x-overflow").is_some_and(|overflow| overflow.starts_with("reject-publish"));
    for argument in ["x-max-length", "x-max-length-bytes"].into_iter().filter(|argument| has(argument)) {
        if !refuses {
            losses.push(QueueDifference::DropsWhenFull { argument });
        }
    }
    if found.text("x-queue-type").as_deref() == Some(STREAM) {
        losses.push(QueueDifference::Stream);
    }
    losses
}

fn shown(value: Option<&AMQPValue>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => match (value.as_long_string(), value.as_long_long_int(), value.as_bool()) {
            (Some(text), ..) => text.to_string(),
            (_, Some(number), _) => number.to_string(),
            (.., Some(flag)) => flag.to_string(),
            (None, None, None) => "another value".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::inspection::inspect::declaration::without;
    use crate::broker::names::Names;
    use crate::broker::topology;
    use lapin::types::FieldTable;

    fn ours() -> Declaration {
        Declaration::ours(topology::consumed(&Names::new("q"), None))
    }

    fn losing(found: &Declaration) -> Vec<String> {
        let all = differences(&ours(), found);
        all.iter().filter(|one| one.may_lose()).map(ToString::to_string).collect()
    }

    fn with(name: &str, value: AMQPValue) -> Declaration {
        let mut found = ours();
        found.arguments.insert(name.into(), value);
        found
    }

    #[test]
    fn only_arguments_that_may_lose_messages_are_dangerous() {
        assert!(losing(&ours()).is_empty());
        let number = AMQPValue::LongLongInt(10);
        assert!(losing(&with("x-max-length", number.clone())).is_empty(), "publishers see the refusal");
        for name in ["x-expires", "x-message-ttl"] {
            let dangers = losing(&with(name, number.clone()));
            assert!(dangers.len() == 1 && dangers[0].starts_with(name), "{dangers:?}");
        }
        for name in ["x-max-length", "x-max-length-bytes"] {
            let mut found = with(name, number.clone());
            found.arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
            assert!(losing(&found)[0].starts_with(name));
            found.arguments = without(&found.arguments, "x-overflow");
            assert!(losing(&found)[0].starts_with(name), "drop-head is the default");
        }
        assert_eq!(losing(&Declaration { durable: false, auto_delete: true, ..ours() }).len(), 2);
    }

    #[test]
    fn a_queue_as_freshet_declares_it_differs_in_nothing() {
        assert_eq!(differences(&ours(), &ours()), []);
        let dead = Declaration::ours(topology::dead_letters());
        assert_eq!(differences(&dead, &dead), []);
    }

    #[test]
    fn what_differs_without_loss_is_told_too() {
        let text = |text: &str| AMQPValue::LongString(text.into());
        for (name, value, expected) in [
            ("x-single-active-consumer", AMQPValue::Boolean(false), "keep neither order nor quota"),
            ("x-delivery-limit", AMQPValue::LongLongInt(5), "x-delivery-limit is 5 and not 200"),
            ("x-dead-letter-exchange", text("other"), "x-dead-letter-exchange is other"),
            ("x-consumer-timeout", AMQPValue::LongLongInt(1000), "x-consumer-timeout is 1000 ms"),
            ("x-overflow", text("drop-head"), "x-overflow is drop-head and not reject-publish"),
            ("x-queue-leader-locator", text("balanced"), "x-queue-leader-locator is balanced and not none"),
            ("x-queue-type", text("classic"), "a classic queue"),
        ] {
            let found = differences(&ours(), &with(name, value));
            let [one] = found.as_slice() else { panic!("{name}: {found:?}") };
            assert!(one.to_string().contains(expected) && !one.may_lose(), "{name}: {one}");
        }
        let plain = Declaration::ours(FieldTable::default());
        let found: Vec<String> = differences(&ours(), &plain).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 6, "{found:#?}");
        assert!(found.iter().any(|one| one.starts_with("no x-dead-letter-exchange")), "{found:#?}");
        assert!(!found.iter().any(|one| one.contains("strategy")), "{found:#?}");
    }
}
