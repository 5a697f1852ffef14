//! The events of one contact that are worked on together, and the calls made for them. The scheduler keeps work items;
//! the steps change them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::contact_work::ContactWork;
use super::held::HeldEvent;
use super::merge;

/// An event that waits in the window or is worked on.
#[derive(Debug)]
pub(in crate::lane) struct OpenEvent<D> {
    pub(in crate::lane) event: HeldEvent,
    /// The delivery that is settled with the event's outcome.
    pub(in crate::lane) delivery: D,
    /// How often it was put back into the window to wait for events of an address that was found later.
    pub(in crate::lane) put_back: u8,
    /// Calls that were made for it before it was put back.
    pub(in crate::lane) attempts: u32,
}

/// One contact's events that go together; identifies are merged.
#[derive(Debug)]
pub(in crate::lane) struct WorkItem<D> {
    /// The events that are worked on, with their numbers in the window.
    pub(in crate::lane) events: Vec<(u64, OpenEvent<D>)>,
    /// The events taken with them, which follow one by one after a refusal of all.
    rest: VecDeque<(u64, OpenEvent<D>)>,
    pub(in crate::lane) work: Work,
    /// Calls sent for it.
    pub(in crate::lane) attempts: u32,
    /// How many of these were sent for the rest, too.
    shared_attempts: u32,
    /// Its step's call fails: since when, by the time during which other calls got through.
    pub(in crate::lane) failing_since: Option<Duration>,
}

#[derive(Debug)]
pub(in crate::lane) enum Work {
    /// Write the contact with its sales account and its deal.
    Contact(Box<ContactWork>),
    Activity,
}

impl<D> WorkItem<D> {
    /// `None` without events.
    pub(in crate::lane) fn new(events: Vec<(u64, OpenEvent<D>)>) -> Option<Self> {
        let work = Work::of(&events)?;
        let attempts = events.iter().map(|(_, event)| event.attempts).max().unwrap_or_default();
        Some(Self {
            events,
            rest: VecDeque::new(),
            work,
            attempts,
            shared_attempts: attempts,
            failing_since: None,
        })
    }

    /// After a refusal of all events together: works on the first alone, and on the others after it.
    pub(in crate::lane) fn split(&mut self) {
        self.shared_attempts = self.attempts;
        self.rest.extend(self.events.drain(1..));
        self.restart(Manner::Singly);
    }

    /// Splits the item if only some of its events give the address themselves, and that address belongs to another
    /// contact: the others are not about that one. False if nothing was split.
    pub(in crate::lane) fn split_by_own_address(&mut self) -> bool {
        let gives_address =
            |event: &OpenEvent<D>| matches!(&event.event, HeldEvent::Contact(write) if write.says_email);
        let mixed = self.events.len() > 1 && !self.events.iter().all(|(_, event)| gives_address(event));
        if mixed {
            self.split();
        }
        mixed
    }

    /// Drops the address that was taken over from earlier identifies, because it is not this contact's.
    pub(in crate::lane) fn drop_address(&mut self) {
        for (_, event) in &mut self.events {
            if let HeldEvent::Contact(write) = &mut event.event {
                Arc::make_mut(write).email = None;
            }
        }
        self.restart(Manner::Singly);
    }

    /// Goes on with the next event of the rest; false if there is none.
    pub(in crate::lane) fn take_next(&mut self) -> bool {
        self.events.clear();
        let Some(next) = self.rest.pop_front() else { return false };
        self.events.push(next);
        self.attempts = self.shared_attempts;
        self.restart(Manner::Singly);
        true
    }

    /// Takes the rest in again: what holds for the events holds for these, too.
    pub(in crate::lane) fn rejoin(&mut self) {
        self.events.extend(self.rest.drain(..));
    }

    /// All its events, those that are worked on first.
    pub(in crate::lane) fn into_events(self) -> impl Iterator<Item = (u64, OpenEvent<D>)> {
        self.events.into_iter().chain(self.rest)
    }

    /// Begins again, without using what is cached of its records.
    pub(in crate::lane) fn restart_without_cache(&mut self) {
        let singly = matches!(&self.work, Work::Contact(contact) if contact.singly);
        self.restart(if singly { Manner::Singly } else { Manner::Any });
        if let Work::Contact(contact) = &mut self.work {
            contact.cache.ignored = true;
        }
    }

    fn restart(&mut self, manner: Manner) {
        if let Some(mut work) = Work::of(&self.events) {
            if let Work::Contact(contact) = &mut work {
                contact.singly = manner == Manner::Singly;
            }
            self.work = work;
        }
    }

    pub(in crate::lane) fn contact(&self) -> Option<&ContactWork> {
        match &self.work {
            Work::Contact(contact) => Some(contact),
            Work::Activity => None,
        }
    }

    pub(in crate::lane) fn contact_mut(&mut self) -> Option<&mut ContactWork> {
        match &mut self.work {
            Work::Contact(contact) => Some(contact),
            Work::Activity => None,
        }
    }
}

/// Whether a record may go in a bulk call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Any,
    Singly,
}

impl Work {
    fn of<D>(events: &[(u64, OpenEvent<D>)]) -> Option<Self> {
        let writes = events.iter().filter_map(|(_, event)| match &event.event {
            HeldEvent::Contact(write) => Some(write),
            HeldEvent::Track(_) | HeldEvent::Page(_) => None,
        });
        match merge::merged(writes) {
            Some(write) => Some(Self::Contact(Box::new(ContactWork::new(write)))),
            None if events.is_empty() => None,
            None => Some(Self::Activity),
        }
    }
}
