//! A message to be published. Pure.

use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;

use crate::broker::amqp::{letter_properties, republished};
use crate::broker::names::Names;
use crate::dead_letter::DeadLetter;
use crate::delivery::AccountName;
use crate::segment::EventBody;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::broker) struct Route {
    pub(in crate::broker) exchange: String,
    pub(in crate::broker) key: String,
}

/// Where messages must get to. Made once for many.
#[derive(Debug)]
pub(in crate::broker) struct PublishTarget {
    /// The queue that the route leads to.
    pub(super) queue: String,
    pub(super) route: Route,
}

impl PublishTarget {
    pub(in crate::broker) fn lane(names: &Names, account: &AccountName) -> Self {
        let route = Route { exchange: names.lanes().to_owned(), key: account.to_string() };
        Self { queue: names.lane(account), route }
    }
}

/// A message, and where it must get to.
#[derive(Debug, Clone)]
pub(in crate::broker) struct Publication {
    pub(super) target: Arc<PublishTarget>,
    body: EventBody,
    properties: Arc<BasicProperties>,
    /// The queue may have it already.
    may_be_duplicate: bool,
}

impl Publication {
    pub(in crate::broker) fn new(
        target: Arc<PublishTarget>,
        body: EventBody,
        properties: Arc<BasicProperties>,
    ) -> Self {
        Self { target, body, properties, may_be_duplicate: false }
    }

    /// A dead letter. `original`: the properties with which the message came.
    pub(in crate::broker) fn to_dead_letters(
        names: &Names,
        dead: &DeadLetter<'_>,
        body: EventBody,
        original: &BasicProperties,
    ) -> Self {
        let queue = names.dead();
        let route = Route { exchange: queue.clone(), key: dead.routing_key() };
        let properties = letter_properties::for_dead_letter(original, dead);
        Self::new(Arc::new(PublishTarget { queue, route }), body, Arc::new(properties))
    }

    /// The lane will not trust the order of a message that may be a duplicate.
    pub(super) fn mark_as_possible_duplicate(&mut self) {
        self.may_be_duplicate = true;
    }

    /// The body and the properties to publish; both are made anew for each attempt.
    pub(super) fn content(&self) -> (Bytes, BasicProperties) {
        let properties = (*self.properties).clone();
        let properties = if self.may_be_duplicate { republished::as_copy(properties) } else { properties };
        (self.body.bytes(), properties)
    }
}
