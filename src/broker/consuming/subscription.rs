//! Which queues this replica consumes, and with which prefetch and arguments. Pure.

use lapin::types::{AMQPValue, FieldTable};

use crate::broker::context::Context;
use crate::broker::names::priority;
use crate::broker::timing::INTAKE_PREFETCH;
use crate::delivery::AccountName;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) enum ConsumedQueue {
    Intake,
    /// The lane of the account with this number.
    Lane(usize),
}

pub(in crate::broker) struct Subscription {
    pub(in crate::broker) queue: String,
    pub(in crate::broker) tag: String,
    pub(in crate::broker) prefetch: u16,
    pub(in crate::broker) arguments: FieldTable,
}

/// `None` for a lane that is not there.
pub(in crate::broker) fn subscription(context: &Context, consumed: ConsumedQueue) -> Option<Subscription> {
    match consumed {
        ConsumedQueue::Intake => Some(intake(context)),
        ConsumedQueue::Lane(number) => context.inlet(number).map(|inlet| lane(context, &inlet.account)),
    }
}

pub(in crate::broker) fn intake(context: &Context) -> Subscription {
    // The default. RabbitMQ refuses it for a stream, and a stream must not be consumed.
    let mut arguments = FieldTable::default();
    arguments.insert("x-priority".into(), AMQPValue::LongInt(0));
    let (queue, tag) = (context.names.intake().to_owned(), context.replica.clone());
    Subscription { queue, tag, prefetch: INTAKE_PREFETCH, arguments }
}

pub(in crate::broker) fn lane(context: &Context, account: &AccountName) -> Subscription {
    let mut arguments = FieldTable::default();
    let wanted = priority(&context.replica, account);
    arguments.insert("x-priority".into(), AMQPValue::LongInt(wanted));
    let (queue, tag) = (context.names.lane(account), format!("{} {account}", context.replica));
    Subscription { queue, tag, prefetch: context.prefetch, arguments }
}
