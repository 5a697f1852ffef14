//! The deliveries that a connection has brought lately, to find out which message it ended over.
//!
//! The client library reads from the socket until nothing more is there, and only then parses what it has read. So a
//! message that it cannot parse is among the deliveries that were read since it last waited for the socket.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::broker::transport::frames::fields::FieldReader;

const DELIVERIES_REMEMBERED: usize = 256;

#[derive(Debug, Default)]
pub(in crate::broker) struct RecentDeliveries(Mutex<Ring>);

/// One delivery as its frames have it after the walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct RecentDelivery {
    pub(in crate::broker) channel: u16,
    /// Tells which queue it came from: each consumer of a replica has a tag of its own.
    pub(in crate::broker) consumer_tag: String,
    pub(in crate::broker) delivery_tag: u64,
    pub(in crate::broker) redelivered: bool,
    pub(in crate::broker) exchange: String,
    pub(in crate::broker) routing_key: String,
    /// `None` also while the message's properties have not come.
    pub(in crate::broker) message_id: Option<String>,
}

/// The newest deliveries. Reuses its memory: it is written for every delivery and hardly ever read.
#[derive(Debug, Default)]
pub(in crate::broker::transport) struct Ring {
    slots: Vec<Slot>,
    /// The slot of the next delivery, once all slots are in use.
    next: usize,
    /// How many of the newest the client library may not have parsed.
    unparsed: usize,
    waits: bool,
}

#[derive(Debug, Default)]
struct Slot {
    channel: u16,
    /// The arguments of `basic.deliver` as they were sent.
    arguments: Vec<u8>,
    /// The properties have come, too.
    complete: bool,
    message_id: Option<Vec<u8>>,
}

impl RecentDeliveries {
    /// The deliveries that were read since the library last waited for the socket, oldest first.
    pub(in crate::broker) fn since_last_wait(&self) -> Vec<RecentDelivery> {
        self.lock().newest_first().into_iter().rev().filter_map(Slot::read).collect()
    }

    /// Whether some of them may have been forgotten.
    pub(in crate::broker) fn is_full(&self) -> bool {
        self.lock().unparsed >= DELIVERIES_REMEMBERED
    }

    pub(in crate::broker::transport) fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Nothing more is there to be read: the client library now parses what it has.
    pub(in crate::broker::transport) fn waiting(&mut self) {
        self.waits = true;
    }

    /// The client library comes back for more: it could parse what it had.
    pub(in crate::broker::transport) fn reading(&mut self) {
        if std::mem::take(&mut self.waits) {
            // A delivery whose properties have not come was not parsed whole.
            let unread = self.newest_first().iter().rposition(|slot| !slot.complete);
            self.unparsed = unread.map_or(0, |oldest| oldest + 1);
        }
    }

    pub(in crate::broker::transport) fn delivery(&mut self, channel: u16, arguments: &[u8]) {
        if self.slots.len() < DELIVERIES_REMEMBERED {
            self.slots.push(Slot::default());
            self.next = self.slots.len() - 1;
        }
        if let Some(slot) = self.slots.get_mut(self.next) {
            slot.channel = channel;
            slot.arguments.clear();
            slot.arguments.extend_from_slice(arguments);
            slot.complete = false;
            slot.message_id = None;
        }
        self.next = (self.next + 1) % DELIVERIES_REMEMBERED;
        self.unparsed = (self.unparsed + 1).min(DELIVERIES_REMEMBERED);
    }

    /// The properties of a channel's newest delivery have come.
    pub(in crate::broker::transport) fn properties(&mut self, channel: u16, message_id: Option<&[u8]>) {
        let (unparsed, middle) = (self.unparsed, self.next.min(self.slots.len()));
        let (wrapped, older) = self.slots.split_at_mut(middle);
        let newest_first = wrapped.iter_mut().rev().chain(older.iter_mut().rev());
        if let Some(slot) = newest_first.take(unparsed).find(|slot| slot.channel == channel) {
            slot.complete = true;
            slot.message_id = message_id.map(<[u8]>::to_vec);
        }
    }

    /// The consumer that the newest delivery of a channel is for.
    pub(in crate::broker::transport) fn consumer(&self, channel: u16) -> Option<String> {
        let slot = self.newest_first().into_iter().find(|slot| slot.channel == channel)?;
        slot.read().map(|delivery| delivery.consumer_tag)
    }

    fn newest_first(&self) -> Vec<&Slot> {
        let (wrapped, older) = self.slots.split_at(self.next.min(self.slots.len()));
        wrapped.iter().rev().chain(older.iter().rev()).take(self.unparsed).collect()
    }
}

impl Slot {
    fn read(&self) -> Option<RecentDelivery> {
        let mut fields = FieldReader::new(&self.arguments);
        let consumer_tag = fields.text()?;
        let delivery_tag = fields.number(8)?;
        let redelivered = fields.number(1)? != 0;
        Some(RecentDelivery {
            channel: self.channel,
            consumer_tag,
            delivery_tag,
            redelivered,
            exchange: fields.text()?,
            routing_key: fields.text()?,
            message_id: self.message_id.as_ref().map(|id| String::from_utf8_lossy(id).into_owned()),
        })
    }
}
