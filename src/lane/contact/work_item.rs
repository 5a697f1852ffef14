//! One contact's events on their way, and how far they have come. Pure.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::address_change::Whose;
use super::deals::DealAt;
use super::held::{HeldContact, HeldEvent, RecordText};
use super::merge;
use super::remedy::{Changes, Remembered, Trial, dependent_choice, has_defaults};
use super::tags::Tagging;
use crate::freshsales::{Call, Identifier, SalesAccountLink};
use crate::mapping::Identity;
use crate::schema::Entity;

/// An event that waits: what it asks for, and to whom its end is owed.
#[derive(Debug)]
pub(in crate::lane) struct Waiting<D> {
    /// What to write or to report.
    pub(in crate::lane) mapped: HeldEvent,
    /// Settled with the event's outcome.
    pub(in crate::lane) debt: D,
    /// How often it was given back to wait for events of an address that became known later.
    pub(in crate::lane) moves: u8,
}

/// Events that go together, identifies merged.
#[derive(Debug)]
pub(in crate::lane) struct WorkItem<D> {
    /// What is being worked on, with the numbers they have in the window.
    pub(in crate::lane) events: Vec<(u64, Waiting<D>)>,
    /// What was taken with them, to be done one by one after a refusal of all.
    pub(in crate::lane) rest: VecDeque<(u64, Waiting<D>)>,
    pub(in crate::lane) work: Work,
    /// Calls sent for it.
    pub(in crate::lane) attempts: u32,
    /// Its step does not get through. Since when, on the clock that runs while others do.
    pub(in crate::lane) failing: Option<Duration>,
    /// Those of them that were sent for the rest, too.
    shared: u32,
}

#[derive(Debug)]
pub(in crate::lane) enum Work {
    Contact(Box<ContactWork>),
    Activity,
}

/// How far a contact has come.
#[derive(Debug)]
pub(in crate::lane) struct ContactWork {
    pub(in crate::lane) write: Arc<HeldContact>,
    pub(in crate::lane) stage: Step,
    pub(in crate::lane) account: Option<i64>,
    pub(in crate::lane) contact: Option<i64>,
    pub(in crate::lane) deal: DealAt,
    /// The deal's custom fields as they were read, because an update may replace them all; an object's text.
    pub(in crate::lane) kept_custom: Option<String>,
    /// The step's record was refused, and is tried with changes.
    pub(in crate::lane) trial: Option<Box<Trial>>,
    /// Not in bulk: a bulk call's answer was of no use for it.
    pub(in crate::lane) alone: bool,
    /// Something remembered was built upon; if it is refused, it is done again without.
    pub(in crate::lane) remembered: bool,
    /// Nothing remembered may be built upon.
    pub(in crate::lane) fresh: bool,
    /// What is known of who it is.
    pub(in crate::lane) whose: Whose,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) enum Step {
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
    Link(Vec<SalesAccountLink>),
    /// Read which deals the contact has.
    FindDeal,
    Deal,
    /// Read which tags a record has.
    ReadTags(Tagging),
    /// Add tags to those that the record has.
    Tags(Tagging),
    /// A refused record is remembered, but may have been deleted: read it.
    StillThere(Box<Remembered>),
}

impl<D> WorkItem<D> {
    pub(in crate::lane) fn new(events: Vec<(u64, Waiting<D>)>) -> Option<Self> {
        let work = Work::of(&events)?;
        Some(Self { events, rest: VecDeque::new(), work, attempts: 0, failing: None, shared: 0 })
    }

    /// After a refusal of all together: the first alone, the others after it.
    pub(in crate::lane) fn split(&mut self) {
        self.shared = self.attempts;
        self.rest.extend(self.events.drain(1..));
        self.restart(true);
    }

    /// Where the address turned out to be another contact's than the `userId`: those that do not name it themselves are
    /// not about that contact. If there are such beside others, all go one by one; false if there are none.
    pub(in crate::lane) fn part_those_without_an_address(&mut self) -> bool {
        let names =
            |waiting: &Waiting<D>| matches!(&waiting.mapped, HeldEvent::Contact(write) if write.says_email);
        let parted = self.events.len() > 1 && !self.events.iter().all(|(_, waiting)| names(waiting));
        if parted {
            self.split();
        }
        parted
    }

    /// The address that earlier identifies named is not that of the contact: who has the `userId` is to be found out.
    pub(in crate::lane) fn forget_address(&mut self) {
        for (_, waiting) in &mut self.events {
            if let HeldEvent::Contact(write) = &mut waiting.mapped {
                Arc::make_mut(write).email = None;
            }
        }
        self.restart(true);
    }

    /// Takes up the next of the rest; false if there is none.
    pub(in crate::lane) fn next(&mut self) -> bool {
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
    pub(in crate::lane) fn refresh(&mut self) {
        let alone = matches!(&self.work, Work::Contact(contact) if contact.alone);
        self.restart(alone);
        if let Work::Contact(contact) = &mut self.work {
            contact.fresh = true;
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

impl Work {
    fn of<D>(events: &[(u64, Waiting<D>)]) -> Option<Self> {
        let writes = events.iter().filter_map(|(_, waiting)| match &waiting.mapped {
            HeldEvent::Contact(write) => Some(write),
            HeldEvent::Track(_) | HeldEvent::Page(_) => None,
        });
        match merge::merged(writes) {
            Some(write) => Some(Self::Contact(Box::new(ContactWork {
                stage: match write.email {
                    Some(_) => first_stage(&write),
                    None => Step::FindContact,
                },
                write,
                account: None,
                contact: None,
                deal: DealAt::Unknown,
                kept_custom: None,
                trial: None,
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
    pub(in crate::lane) fn name(&self) -> Option<(Entity, String)> {
        if self.stage == Step::FindDeal || self.stage == Step::Deal && self.deal == DealAt::New {
            // A contact may have two addresses, and be written by both at once: one looks after the other has created.
            let name = self.write.deal.as_ref()?.name.trim().to_lowercase();
            return Some((Entity::Deal, format!("{}/{name}", self.contact?)));
        }
        // Nobody else writes a record before its tags are complete.
        let entity = if let Step::ReadTags(tagging) | Step::Tags(tagging) = &self.stage {
            tagging.entity
        } else {
            self.entity()?
        };
        let name = match entity {
            Entity::Contact => return None,
            Entity::SalesAccount => self.write.company.as_ref()?.name.to_lowercase(),
            Entity::Deal => match self.deal {
                DealAt::Name => self.write.deal.as_ref()?.name.to_lowercase(),
                // Several contacts may have it.
                DealAt::Id(id) => id.to_string(),
                DealAt::Unknown | DealAt::New => return None,
            },
        };
        Some((entity, name))
    }

    /// The entity that the stage writes.
    pub(in crate::lane) const fn entity(&self) -> Option<Entity> {
        match self.stage {
            Step::Company => Some(Entity::SalesAccount),
            Step::Contact | Step::Update => Some(Entity::Contact),
            Step::Deal => Some(Entity::Deal),
            Step::FindContact
            | Step::FindHolder
            | Step::ReadEmails
            | Step::FindOwner
            | Step::ReadLinks
            | Step::Link(_)
            | Step::FindDeal
            | Step::ReadTags(_)
            | Step::StillThere(_)
            | Step::Tags(_) => None,
        }
    }

    /// The entity that the stage writes, and what says which record it is; none for a deal that is new.
    pub(in crate::lane) fn identifier(&self) -> Option<(Entity, Identifier)> {
        let entity = self.entity()?;
        let text = match entity {
            Entity::SalesAccount => &self.write.company.as_ref()?.name,
            Entity::Contact => self.write.email.as_ref()?,
            Entity::Deal => match self.deal {
                DealAt::Name => &self.write.deal.as_ref()?.name,
                DealAt::Id(id) => return Some((entity, Identifier::Id(id))),
                DealAt::Unknown | DealAt::New => return None,
            },
        };
        Some((entity, Identifier::Text(text.to_string())))
    }

    /// The stage's record as the event gives it.
    pub(in crate::lane) fn given(&self) -> Option<(Entity, &RecordText)> {
        let entity = self.entity()?;
        let record = match entity {
            Entity::SalesAccount => &self.write.company.as_ref()?.record,
            Entity::Contact => &self.write.record,
            Entity::Deal => &self.write.deal.as_ref()?.record,
        };
        Some((entity, record))
    }

    /// The record that the stage writes, as an object's text.
    pub(in crate::lane) fn record(&self) -> Option<String> {
        let (entity, given) = self.given()?;
        let changes = self.trial.as_ref().map(|trial| trial.changes).unwrap_or_default();
        let mut record = Cow::Borrowed(given);
        if let Some(choice) = dependent_choice(entity).filter(|_| changes.without_choice) {
            record = Cow::Owned(record.without(choice));
        }
        if changes.with_defaults {
            record = Cow::Owned(record.with_defaults());
        }
        match entity {
            Entity::SalesAccount => return Some(record.object(&[])),
            Entity::Contact => return Some(self.contact_object(&record)),
            Entity::Deal => {}
        }
        if let Some(kept) = &self.kept_custom {
            record = Cow::Owned(record.over_custom(kept));
        }
        let account = self.account.map(|id| ("sales_account_id", id.to_string()));
        let contact = self.contact.map(|id| ("contacts_added_list", format!("[{id}]")));
        // A new deal has no others.
        let tags = ("tags", given.added_tags.to_string());
        let tags = Some(tags).filter(|(_, tags)| self.deal == DealAt::New && !tags.is_empty());
        let links: Vec<_> = account.into_iter().chain(contact).chain(tags).collect();
        Some(record.object(&links))
    }

    /// What can be changed in the stage's record, should it be refused. `exists` is whether it is known to be there.
    pub(in crate::lane) fn possible_changes(&self, exists: bool) -> Changes {
        let Some((entity, given)) = self.given() else { return Changes::default() };
        let choice = dependent_choice(entity).and_then(|choice| given.field(choice));
        let defaults = || has_defaults(&given.lacking());
        Changes { without_choice: choice.is_some(), with_defaults: !exists && defaults() }
    }

    /// The single call of the stage.
    pub(in crate::lane) fn call(&self) -> Option<Call> {
        match &self.stage {
            Step::Company => {
                let name = &self.write.company.as_ref()?.name;
                Some(Call::named_upsert(Entity::SalesAccount, name, &self.record()?))
            }
            Step::FindContact | Step::FindHolder => {
                Some(Call::lookup_external_id(&self.write.external_id()?))
            }
            Step::FindOwner => Some(Call::lookup_email(self.write.email.as_deref()?)),
            Step::Update => Some(Call::contact_update(self.contact?, &self.record()?)),
            Step::ReadLinks | Step::ReadEmails => Some(Call::contact_read(self.contact?)),
            Step::Contact => Some(Call::contact_upsert(self.write.address(), &self.record()?)),
            Step::Link(links) => Some(Call::contact_links(self.contact?, links)),
            Step::FindDeal => Some(Call::contact_read_with_deals(self.contact?)),
            Step::Deal => {
                let deal = self.write.deal.as_ref()?;
                Some(match self.deal {
                    DealAt::Unknown => return None,
                    DealAt::Name => Call::named_upsert(Entity::Deal, &deal.name, &self.record()?),
                    DealAt::New => Call::deal_create(&self.record()?),
                    DealAt::Id(id) if deal.record.has_custom() && self.kept_custom.is_none() => {
                        Call::read(Entity::Deal, id)
                    }
                    DealAt::Id(id) => Call::update(Entity::Deal, id, &self.record()?),
                })
            }
            Step::ReadTags(tagging) => Some(tagging.read()),
            Step::Tags(tagging) => Some(tagging.call()),
            Step::StillThere(remembered) => Some(Call::read(remembered.entity, remembered.id)),
        }
    }

    /// Passes over the sales account or the deal that the stage writes; which of them, if it is one.
    pub(in crate::lane) fn leave_out(&mut self) -> Option<Entity> {
        match self.stage {
            Step::Company => {
                Arc::make_mut(&mut self.write).company = None;
                self.stage = Step::Contact;
                Some(Entity::SalesAccount)
            }
            Step::FindDeal | Step::Deal => Some(Entity::Deal),
            Step::FindContact
            | Step::Contact
            | Step::FindHolder
            | Step::ReadEmails
            | Step::Update
            | Step::FindOwner
            | Step::ReadLinks
            | Step::Link(_)
            | Step::ReadTags(_)
            | Step::StillThere(_)
            | Step::Tags(_) => None,
        }
    }

    /// What the stage is about, for people.
    pub(in crate::lane) fn place(&self) -> &'static str {
        match &self.stage {
            Step::Company => "sales account",
            Step::FindContact
            | Step::Contact
            | Step::FindHolder
            | Step::ReadEmails
            | Step::Update
            | Step::FindOwner
            | Step::ReadLinks
            | Step::FindDeal => "contact",
            Step::Link(_) => "contact's link to the sales account",
            Step::Deal => "deal",
            Step::ReadTags(tagging) | Step::Tags(tagging) => match tagging.entity {
                Entity::Contact => "contact's tags",
                Entity::SalesAccount => "sales account's tags",
                Entity::Deal => "deal's tags",
            },
            Step::StillThere(remembered) => match remembered.entity {
                Entity::SalesAccount => "sales account",
                Entity::Contact | Entity::Deal => "contact",
            },
        }
    }
}

/// The first step of a contact whose address is known, or its id.
pub(in crate::lane) fn first_stage(write: &HeldContact) -> Step {
    if write.company.is_some() { Step::Company } else { Step::Contact }
}

/// Whom an activity belongs to.
pub(in crate::lane) fn identity(mapped: &HeldEvent) -> Option<&Identity> {
    match mapped {
        HeldEvent::Contact(_) => None,
        HeldEvent::Track(activity) => Some(&activity.identity),
        HeldEvent::Page(page) => Some(&page.identity),
    }
}

/// The call that reports an activity.
pub(in crate::lane) fn report(mapped: &HeldEvent, identifier: &str) -> Option<Call> {
    match mapped {
        HeldEvent::Contact(_) => None,
        HeldEvent::Track(activity) => {
            Some(Call::track_event(identifier, &activity.name, activity.properties.as_str()))
        }
        HeldEvent::Page(page) => {
            Some(Call::track_page_view(identifier, &page.url, page.properties.as_str(), &page.added))
        }
    }
}
