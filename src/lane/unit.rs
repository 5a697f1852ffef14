//! One contact's events on their way, and how far they have come. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use std::sync::Arc;

use super::held::{Held, HeldContact};
use super::merge;
use super::whose::Whose;
use crate::freshsales::{Call, Link};
use crate::mapping::Identity;
use crate::schema::Entity;

/// An event that waits: what it asks for, and to whom its end is owed.
#[derive(Debug)]
pub(super) struct Waiting<D> {
    /// What to write or to report.
    pub(super) mapped: Held,
    /// Settled with the event's outcome.
    pub(super) debt: D,
    /// How often it was given back to wait for events of an address that became known later.
    pub(super) moves: u8,
}

/// Events that go together, identifies merged.
#[derive(Debug)]
pub(super) struct Unit<D> {
    /// What is being worked on, with the numbers they have in the window.
    pub(super) events: Vec<(u64, Waiting<D>)>,
    /// What was taken with them, to be done one by one after a refusal of all.
    pub(super) rest: VecDeque<(u64, Waiting<D>)>,
    pub(super) work: Work,
    /// Calls sent for it.
    pub(super) attempts: u32,
    /// Its step does not get through. Since when, on the clock that runs while others do.
    pub(super) failing: Option<Duration>,
    /// Those of them that were sent for the rest, too.
    shared: u32,
}

#[derive(Debug)]
pub(super) enum Work {
    Contact(Box<ContactWork>),
    Activity,
}

/// How far a contact has come.
#[derive(Debug)]
pub(super) struct ContactWork {
    pub(super) write: Arc<HeldContact>,
    pub(super) stage: Stage,
    pub(super) account: Option<i64>,
    pub(super) contact: Option<i64>,
    /// Not in bulk: a bulk call's answer was of no use for it.
    pub(super) alone: bool,
    /// Something remembered was built upon; if it is refused, it is done again without.
    pub(super) remembered: bool,
    /// Nothing remembered may be built upon.
    pub(super) fresh: bool,
    /// What is known of who it is.
    pub(super) whose: Whose,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// No address is known: who has the `userId`?
    FindContact,
    Company,
    Contact,
    /// It may be refused because another contact has its `external_id`: who?
    FindHolder,
    /// The contact that has its `external_id` gets another address: which has it?
    ReadEmails,
    /// The contact is written by its id.
    Update,
    /// The contact was not given the address: who has it?
    FindOwner,
    ReadLinks,
    Link(Vec<Link>),
    Deal,
}

impl<D> Unit<D> {
    pub(super) fn new(events: Vec<(u64, Waiting<D>)>) -> Option<Self> {
        let work = Work::of(&events)?;
        Some(Self { events, rest: VecDeque::new(), work, attempts: 0, failing: None, shared: 0 })
    }

    /// After a refusal of all together: the first alone, the others after it.
    pub(super) fn split(&mut self) {
        self.shared = self.attempts;
        self.rest.extend(self.events.drain(1..));
        self.restart(true);
    }

    /// Takes up the next of the rest; false if there is none.
    pub(super) fn next(&mut self) -> bool {
        self.events.clear();
        let Some(next) = self.rest.pop_front() else { return false };
        self.events.push(next);
        self.attempts = self.shared;
        self.restart(true);
        true
    }

    fn restart(&mut self, alone: bool) {
        if let Some(mut work) = Work::of(&self.events) {
            if let Work::Contact(contact) = &mut work {
                contact.alone = alone;
            }
            self.work = work;
        }
    }

    /// Begins again without anything remembered.
    pub(super) fn refresh(&mut self) {
        let alone = matches!(&self.work, Work::Contact(contact) if contact.alone);
        self.restart(alone);
        if let Work::Contact(contact) = &mut self.work {
            contact.fresh = true;
        }
    }

    pub(super) fn contact(&self) -> Option<&ContactWork> {
        match &self.work {
            Work::Contact(contact) => Some(contact),
            Work::Activity => None,
        }
    }

    pub(super) fn contact_mut(&mut self) -> Option<&mut ContactWork> {
        match &mut self.work {
            Work::Contact(contact) => Some(contact),
            Work::Activity => None,
        }
    }
}

impl Work {
    fn of<D>(events: &[(u64, Waiting<D>)]) -> Option<Self> {
        let writes = events.iter().filter_map(|(_, waiting)| match &waiting.mapped {
            Held::Contact(write) => Some(write),
            Held::Track(_) | Held::Page(_) => None,
        });
        match merge::merged(writes) {
            Some(write) => Some(Self::Contact(Box::new(ContactWork {
                stage: match write.email {
                    Some(_) => first_stage(&write),
                    None => Stage::FindContact,
                },
                write,
                account: None,
                contact: None,
                alone: false,
                remembered: false,
                fresh: false,
                whose: Whose::default(),
            }))),
            None if events.is_empty() => None,
            None => Some(Self::Activity),
        }
    }
}

impl ContactWork {
    /// The name of the record that the stage writes, where it is one that other contacts may write, too.
    pub(super) fn name(&self) -> Option<(Entity, String)> {
        let (entity, write) = match self.stage {
            Stage::Company => (Entity::SalesAccount, self.write.company.as_ref()),
            Stage::Deal => (Entity::Deal, self.write.deal.as_ref()),
            Stage::FindContact
            | Stage::Contact
            | Stage::FindHolder
            | Stage::ReadEmails
            | Stage::Update
            | Stage::FindOwner
            | Stage::ReadLinks
            | Stage::Link(_) => return None,
        };
        Some((entity, write?.name.to_lowercase()))
    }

    /// The entity that the stage writes, and the identifier of its record.
    pub(super) fn identifier(&self) -> Option<(Entity, &str)> {
        match self.stage {
            Stage::Company => Some((Entity::SalesAccount, &self.write.company.as_ref()?.name)),
            Stage::Contact => Some((Entity::Contact, self.write.email.as_deref()?)),
            Stage::Deal => Some((Entity::Deal, &self.write.deal.as_ref()?.name)),
            Stage::FindContact
            | Stage::FindHolder
            | Stage::ReadEmails
            | Stage::Update
            | Stage::FindOwner
            | Stage::ReadLinks
            | Stage::Link(_) => None,
        }
    }

    /// The record that the stage writes, as an object's text, under its identifier.
    pub(super) fn record(&self) -> Option<(Entity, String, String)> {
        let (entity, name) = self.identifier()?;
        let record = match entity {
            Entity::SalesAccount => self.write.company.as_ref()?.record.object(&[]),
            Entity::Contact => self.contact_object(),
            Entity::Deal => {
                let account = self.account.map(|id| ("sales_account_id", id.to_string()));
                let contact = self.contact.map(|id| ("contacts_added_list", format!("[{id}]")));
                let links: Vec<_> = account.into_iter().chain(contact).collect();
                self.write.deal.as_ref()?.record.object(&links)
            }
        };
        Some((entity, name.to_owned(), record))
    }

    /// The single call of the stage.
    pub(super) fn call(&self) -> Option<Call> {
        match &self.stage {
            Stage::Company | Stage::Contact | Stage::Deal => {
                let (entity, name, record) = self.record()?;
                Some(match entity {
                    Entity::Contact => Call::contact_upsert(&name, &record),
                    Entity::SalesAccount | Entity::Deal => Call::named_upsert(entity, &name, &record),
                })
            }
            Stage::FindContact | Stage::FindHolder => {
                Some(Call::lookup_external_id(&self.write.external_id()?))
            }
            Stage::FindOwner => Some(Call::lookup_email(self.write.email.as_deref()?)),
            Stage::Update => Some(Call::contact_update(self.contact?, &self.contact_object())),
            Stage::ReadLinks | Stage::ReadEmails => Some(Call::contact_read(self.contact?)),
            Stage::Link(links) => Some(Call::contact_links(self.contact?, links)),
        }
    }

    /// Passes over the sales account or the deal that the stage writes; which of them, if it is one.
    pub(super) fn leave_out(&mut self) -> Option<Entity> {
        match self.stage {
            Stage::Company => {
                Arc::make_mut(&mut self.write).company = None;
                self.stage = Stage::Contact;
                Some(Entity::SalesAccount)
            }
            Stage::Deal => Some(Entity::Deal),
            Stage::FindContact
            | Stage::Contact
            | Stage::FindHolder
            | Stage::ReadEmails
            | Stage::Update
            | Stage::FindOwner
            | Stage::ReadLinks
            | Stage::Link(_) => None,
        }
    }

    /// What the stage is about, for people.
    pub(super) fn place(&self) -> &'static str {
        match self.stage {
            Stage::Company => "sales account",
            Stage::FindContact
            | Stage::Contact
            | Stage::FindHolder
            | Stage::ReadEmails
            | Stage::Update
            | Stage::FindOwner
            | Stage::ReadLinks => "contact",
            Stage::Link(_) => "contact's link to the sales account",
            Stage::Deal => "deal",
        }
    }
}

/// The first step of a contact whose address is known, or its id.
pub(super) fn first_stage(write: &HeldContact) -> Stage {
    if write.company.is_some() { Stage::Company } else { Stage::Contact }
}

/// Whom an activity belongs to.
pub(super) fn identity(mapped: &Held) -> Option<&Identity> {
    match mapped {
        Held::Contact(_) => None,
        Held::Track(activity) => Some(&activity.identity),
        Held::Page(page) => Some(&page.identity),
    }
}

/// The call that reports an activity.
pub(super) fn report(mapped: &Held, identifier: &str) -> Option<Call> {
    match mapped {
        Held::Contact(_) => None,
        Held::Track(activity) => {
            Some(Call::track_event(identifier, &activity.name, activity.properties.as_str()))
        }
        Held::Page(page) => {
            Some(Call::track_page_view(identifier, &page.url, page.properties.as_str(), &page.added))
        }
    }
}
