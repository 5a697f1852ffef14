//! What an account chooses about its records with a word: tags, deals, links.

use crate::config::reading::reader::Section;
use strum::{EnumString, IntoStaticStr, VariantNames};

/// How an account's records are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described at its type")]
pub struct RecordChoices {
    pub deal_identity: DealIdentity,
    pub links: Links,
    pub tags: Tags,
}

impl RecordChoices {
    pub(in crate::config) fn read(section: &mut Section<'_>) -> Self {
        Self {
            deal_identity: section.word("deal_identity"),
            links: section.word("links"),
            tags: section.word("tags"),
        }
    }
}

/// What becomes of the tags that a record has already when an event brings others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Tags {
    /// They are replaced by the event's.
    #[default]
    Replace,
    /// The event's are added to them.
    Append,
}

/// Which deal of the account an event's deal is. In Freshsales several deals may have the same name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum DealIdentity {
    /// The contact's own deal of that name, else a new one.
    #[default]
    Contact,
    /// The account's deal of that name.
    Name,
}

/// How contacts are linked to their companies. A write of links replaces those that a contact has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Links {
    /// The links of many contacts are read together and written together, some seconds later.
    #[default]
    Bulk,
    /// One contact after another; its links are read right before they are written.
    Careful,
}
