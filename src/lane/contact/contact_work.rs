//! How far one contact has come, and what its step writes: the record's text, the call, and the name under which others
//! may write the same record.

use std::borrow::Cow;
use std::sync::Arc;

use super::address_change::progress::IdentityProgress;
use super::bulk::searching::SearchProgress;
use super::held::{HeldContact, RecordText};
use super::refused::trial::{Changes, Trial, dependent_choice, has_defaults};
use super::step::Step;
use crate::freshsales::{Call, Identifier, SalesAccountLink};
use crate::object::{ObjectWriter, members};
use crate::schema::Entity;

/// A sales account or a deal that several contacts may write, or the links of a contact that may have several
/// addresses: what it is, and its name or id.
pub(in crate::lane) type SharedRecord = (Entity, String);

/// Which deal the event's deal is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::lane) enum DealId {
    #[default]
    Unknown,
    /// The account's deal of its name, which Freshsales finds.
    ByName,
    /// The contact has no deal of its name.
    New,
    Known(i64),
}

/// What is known of the records in Freshsales.
#[derive(Debug, Default)]
pub(in crate::lane) struct KnownRecords {
    pub(in crate::lane) account_id: Option<i64>,
    pub(in crate::lane) contact_id: Option<i64>,
    pub(in crate::lane) deal: DealId,
    /// The deal's custom fields as they were read, an object's text: an update may replace them all.
    pub(in crate::lane) deal_custom_fields: Option<String>,
}

/// Whether cached ids or links are used. If a contact that relied on them is refused, it begins again without them.
#[derive(Debug, Default)]
pub(in crate::lane) struct CacheUse {
    pub(in crate::lane) relied: bool,
    pub(in crate::lane) ignored: bool,
}

/// A contact that is being written, with its sales account and its deal.
#[derive(Debug)]
pub(in crate::lane) struct ContactWork {
    pub(in crate::lane) write: Arc<HeldContact>,
    pub(in crate::lane) step: Step,
    pub(in crate::lane) known: KnownRecords,
    /// The step's record was refused and is tried with changes.
    pub(in crate::lane) trial: Option<Box<Trial>>,
    /// It does not go in bulk: a bulk call's answer said nothing about it.
    pub(in crate::lane) singly: bool,
    pub(in crate::lane) cache: CacheUse,
    pub(in crate::lane) identity: IdentityProgress,
    pub(in crate::lane) search: SearchProgress,
}

impl ContactWork {
    pub(in crate::lane) fn new(write: Arc<HeldContact>) -> Self {
        Self {
            step: match write.email {
                Some(_) => first_step(&write),
                None => Step::FindContact,
            },
            write,
            known: KnownRecords::default(),
            trial: None,
            singly: false,
            cache: CacheUse::default(),
            identity: IdentityProgress::default(),
            search: SearchProgress::default(),
        }
    }

    /// The record that the step is about, where other contacts may write it, too.
    pub(in crate::lane) fn shared_record(&self) -> Option<SharedRecord> {
        if self.step == Step::FindDeal || self.creates_deal() {
            // A contact may have two addresses, so two events may look for its deal at once: the second looks after the
            // first has created it.
            let name = self.write.deal.as_ref()?.name.trim().to_lowercase();
            return Some((Entity::Deal, format!("{}/{name}", self.known.contact_id?)));
        }
        let may_be_written = self.search.uncertain_until.is_some();
        let writes_links = matches!(self.step, Step::Link(_)) || self.adds_link() || may_be_written;
        if let Some(id) = self.known.contact_id.filter(|_| writes_links) {
            // Two events may know the contact by different addresses. Each writes all links, so the second reads them again.
            return Some((Entity::Contact, id.to_string()));
        }
        // A record stays locked until its tags are complete, and its id is known.
        let entity = if let Step::ReadTags(tagging) | Step::Tags(tagging) = &self.step {
            tagging.entity
        } else if let Step::FindId(entity) = &self.step {
            *entity
        } else {
            self.step.writes()?
        };
        let name = match entity {
            Entity::Contact => return None,
            Entity::SalesAccount => self.write.company.as_ref()?.name.to_lowercase(),
            Entity::Deal => match self.known.deal {
                DealId::ByName => self.write.deal.as_ref()?.name.to_lowercase(),
                DealId::Known(id) => id.to_string(),
                DealId::Unknown | DealId::New => return None,
            },
        };
        Some((entity, name))
    }

    /// The entity that the step writes and what identifies the record; `None` for a deal that is new.
    pub(in crate::lane) fn identifier(&self) -> Option<(Entity, Identifier)> {
        let entity = self.step.writes()?;
        let text = match entity {
            Entity::SalesAccount => &self.write.company.as_ref()?.name,
            Entity::Contact => self.write.email.as_ref()?,
            Entity::Deal => match self.known.deal {
                DealId::ByName => &self.write.deal.as_ref()?.name,
                DealId::Known(id) => return Some((entity, Identifier::Id(id))),
                DealId::Unknown | DealId::New => return None,
            },
        };
        Some((entity, Identifier::Text(text.to_string())))
    }

    /// The step's record as the event gives it.
    pub(in crate::lane) fn given_record(&self) -> Option<(Entity, &RecordText)> {
        let entity = self.step.writes()?;
        let record = match entity {
            Entity::SalesAccount => &self.write.company.as_ref()?.record,
            Entity::Contact => &self.write.record,
            Entity::Deal => &self.write.deal.as_ref()?.record,
        };
        Some((entity, record))
    }

    /// The record that the step writes, an object's text.
    pub(in crate::lane) fn record(&self) -> Option<String> {
        let (entity, given) = self.given_record()?;
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
        if let Some(read) = &self.known.deal_custom_fields {
            record = Cow::Owned(record.over_custom(read));
        }
        let account = self.known.account_id.map(|id| ("sales_account_id", id.to_string()));
        let contact = self.known.contact_id.map(|id| ("contacts_added_list", format!("[{id}]")));
        // A new deal has no tags yet, so these replace none.
        let tags = ("tags", given.added_tags.to_string());
        let tags = Some(tags).filter(|(_, tags)| self.known.deal == DealId::New && !tags.is_empty());
        let links: Vec<_> = account.into_iter().chain(contact).chain(tags).collect();
        Some(record.object(&links))
    }

    /// Whether a bulk call is to write a link that is missing.
    pub(in crate::lane) fn adds_link(&self) -> bool {
        let (Some(account), Some(links)) = (self.known.account_id, &self.search.links) else { return false };
        self.step == Step::Contact && !links.has(account)
    }

    /// All links that a bulk call is to write with the contact; `None` if none is missing, or if it is not known which there
    /// are.
    pub(in crate::lane) fn links_to_write(&self) -> Option<Vec<SalesAccountLink>> {
        let (account, links) =
            self.known.account_id.zip(self.search.links.as_ref()).filter(|_| self.adds_link())?;
        Some(links.with(account))
    }

    pub(in crate::lane) fn record_in_bulk(&self) -> Option<String> {
        let record = self.record()?;
        let Some(links) = self.links_to_write() else { return Some(record) };
        let mut object = ObjectWriter::with_capacity(record.len() + links.len() * 40);
        members(&record).for_each(|member| object.member(member));
        object.json("sales_accounts", &Call::links_text(&links));
        Some(object.finish())
    }

    /// Another work item wrote what was read for this step, so it is read again.
    pub(in crate::lane) fn read_again(&mut self) {
        if matches!(self.step, Step::Link(_)) {
            self.step = Step::ReadLinks;
        } else if self.step == Step::Contact {
            self.search = SearchProgress::default();
        }
        self.find_deal_again();
    }

    /// The id of the record that was written in bulk is not found: writes it singly, which answers with the id.
    pub(in crate::lane) fn write_singly(&mut self) {
        let Step::FindId(entity) = self.step else { return };
        self.step = if entity == Entity::SalesAccount { Step::Company } else { Step::Contact };
        self.singly = true;
    }

    /// What can be changed in the step's record if it is refused; defaults only where the record is not known to exist.
    pub(in crate::lane) fn possible_changes(&self, existence: Existence) -> Changes {
        let Some((entity, given)) = self.given_record() else { return Changes::default() };
        let choice = dependent_choice(entity).and_then(|choice| given.field(choice));
        let with_defaults = existence == Existence::Unknown && has_defaults(&given.lacking());
        Changes { without_choice: choice.is_some(), with_defaults }
    }

    /// The call that the step makes for this contact alone.
    pub(in crate::lane) fn call(&self) -> Option<Call> {
        match &self.step {
            Step::Company => {
                let name = &self.write.company.as_ref()?.name;
                Some(Call::named_upsert(Entity::SalesAccount, name, &self.record()?))
            }
            Step::FindContact | Step::FindHolder => {
                Some(Call::lookup_external_id(&self.write.external_id()?))
            }
            Step::FindOwner => Some(Call::lookup_email(self.write.email.as_deref()?)),
            Step::Update => Some(Call::contact_update(self.known.contact_id?, &self.record()?)),
            Step::ReadLinks | Step::ReadEmails => Some(Call::contact_read(self.known.contact_id?)),
            Step::Contact => Some(Call::contact_upsert(self.write.address(), &self.record()?)),
            Step::Link(links) => Some(Call::contact_links(self.known.contact_id?, links)),
            Step::FindDeal => Some(Call::contact_read_with_deals(self.known.contact_id?)),
            Step::Deal => {
                let deal = self.write.deal.as_ref()?;
                Some(match self.known.deal {
                    DealId::Unknown => return None,
                    DealId::ByName => Call::named_upsert(Entity::Deal, &deal.name, &self.record()?),
                    DealId::New => Call::deal_create(&self.record()?),
                    DealId::Known(id)
                        if deal.record.has_custom() && self.known.deal_custom_fields.is_none() =>
                    {
                        Call::read(Entity::Deal, id)
                    }
                    DealId::Known(id) => Call::update(Entity::Deal, id, &self.record()?),
                })
            }
            Step::FindId(_) => None,
            Step::ReadTags(tagging) => Some(tagging.read()),
            Step::Tags(tagging) => Some(tagging.call()),
            Step::ConfirmExists(record) => Some(Call::read(record.entity, record.id)),
        }
    }

    /// Leaves out the sales account or the deal that the step is about. Returns which of them, if the step is about one.
    pub(in crate::lane) fn leave_out(&mut self) -> Option<Entity> {
        let entity = self.step.optional_entity()?;
        if entity == Entity::SalesAccount {
            Arc::make_mut(&mut self.write).company = None;
            self.step = Step::Contact;
        }
        Some(entity)
    }
}

/// Whether a record is known to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum Existence {
    Known,
    Unknown,
}

/// The first step of a contact whose address or id is known.
pub(in crate::lane) fn first_step(write: &HeldContact) -> Step {
    if write.company.is_some() { Step::Company } else { Step::Contact }
}
