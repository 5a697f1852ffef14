//! The steps that an identify's contact goes through, and what holds for each of them. Whatever depends on the kind of a
//! step is asked here, so a new step is added here first.

use super::refused::refusal::RefusedCall;
use crate::freshsales::{Endpoint, SalesAccountLink};
use crate::schema::Entity;

/// One step: at most one call, whose answer decides the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) enum Step {
    /// The event has no e-mail address: look up the contact by its `external_id`.
    FindContact,
    /// Upsert the sales account.
    Company,
    /// Upsert the contact by its e-mail address.
    Contact,
    /// The record was written in bulk, whose report names no id: find it.
    FindId(Entity),
    /// The contact may have been refused because another one has its `external_id`: look that one up.
    FindHolder,
    /// The contact that has the `external_id` gets another address: read the addresses it has.
    ReadEmails,
    /// Update the contact by its id.
    Update,
    /// The contact was refused with the new address: look up the contact that has the address.
    FindOwner,
    /// Read which sales accounts the contact is linked to.
    ReadLinks,
    /// Write all links of the contact.
    Link(Vec<SalesAccountLink>),
    /// Read which deals the contact has.
    FindDeal,
    /// Create or write the deal.
    Deal,
    ReadTags(Tagging),
    /// Write all tags of a record.
    Tags(Tagging),
    /// The cache knows a record that was refused: read whether it was deleted.
    ConfirmExists(Box<CachedRecord>),
}

/// Tags that are added to a record which was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) struct Tagging {
    pub(in crate::lane) entity: Entity,
    pub(in crate::lane) id: i64,
    /// The tags that the event adds; once those of the record are known, all that it is to have.
    pub(in crate::lane) tags: Vec<String>,
    pub(in crate::lane) then: Option<Box<Step>>,
}

/// A refused record that the cache knows, so the account's defaults must not be written over what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) struct CachedRecord {
    pub(in crate::lane) entity: Entity,
    pub(in crate::lane) id: i64,
    pub(in crate::lane) refused: RefusedCall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum LookUp {
    Contact,
    Holder,
    Owner,
}

impl Step {
    pub(in crate::lane) const fn writes(&self) -> Option<Entity> {
        match self {
            Self::Company => Some(Entity::SalesAccount),
            Self::Contact | Self::Update => Some(Entity::Contact),
            Self::Deal => Some(Entity::Deal),
            Self::FindContact
            | Self::FindId(_)
            | Self::FindHolder
            | Self::ReadEmails
            | Self::FindOwner
            | Self::ReadLinks
            | Self::Link(_)
            | Self::FindDeal
            | Self::ReadTags(_)
            | Self::ConfirmExists(_)
            | Self::Tags(_) => None,
        }
    }

    /// The sales account or deal that the event can do without, if the step is about one.
    pub(in crate::lane) fn optional_entity(&self) -> Option<Entity> {
        match self.writes() {
            Some(Entity::Contact) => None,
            None => (*self == Self::FindDeal).then_some(Entity::Deal),
            related => related,
        }
    }

    /// The endpoint that a refusal in a job's report stands for.
    pub(in crate::lane) fn single_upsert(&self) -> Endpoint {
        Endpoint::Upsert(self.writes().unwrap_or(Entity::Contact))
    }

    pub(in crate::lane) fn look_up(&self) -> Option<LookUp> {
        [
            (Self::FindContact, LookUp::Contact),
            (Self::FindHolder, LookUp::Holder),
            (Self::FindOwner, LookUp::Owner),
        ]
        .into_iter()
        .find_map(|(step, look_up)| (step == *self).then_some(look_up))
    }

    /// What the step is about, for people.
    pub(in crate::lane) fn subject(&self) -> &'static str {
        match self {
            Self::Link(_) => "contact's link to the sales account",
            Self::ReadTags(tagging) | Self::Tags(tagging) => match tagging.entity {
                Entity::Contact => "contact's tags",
                Entity::SalesAccount => "sales account's tags",
                Entity::Deal => "deal's tags",
            },
            Self::FindId(Entity::SalesAccount) => "sales account",
            Self::FindId(Entity::Contact | Entity::Deal) => "contact",
            Self::ConfirmExists(record) => match record.entity {
                Entity::SalesAccount => "sales account",
                Entity::Contact | Entity::Deal => "contact",
            },
            Self::FindContact
            | Self::Company
            | Self::Contact
            | Self::FindHolder
            | Self::ReadEmails
            | Self::Update
            | Self::FindOwner
            | Self::ReadLinks
            | Self::FindDeal
            | Self::Deal => match self.writes() {
                Some(Entity::SalesAccount) => "sales account",
                Some(Entity::Deal) => "deal",
                Some(Entity::Contact) | None => "contact",
            },
        }
    }
}
