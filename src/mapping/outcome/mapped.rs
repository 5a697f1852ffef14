//! The result of mapping: the records to write, or the activity to report, and what was left out. Lanes plan calls from
//! it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::field_texts::FieldTexts;
use crate::object::ObjectText;
use crate::outcome::Refusal;
use crate::schema::{Entity, Selector};

/// The result of mapping one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// What to write, or every problem of the event.
    pub verdict: Result<Mapped, Refusal>,
    /// How many traits set no field, whatever the verdict is. [`Recorded`](crate::mapping::Recorded) names them.
    pub ignored: usize,
    /// Values that do not fit and are left out because the account's rules say so; at most one for each field.
    pub omitted: Vec<Omitted>,
    /// Selectors that have not been read and may settle a value that does not fit without them.
    pub needs: Vec<Selector>,
}

/// What to write for one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// From an identify.
    Contact(Box<ContactWrite>),
    /// From a track.
    Track(Activity),
    /// From a page.
    Page(PageView),
}

/// A contact to upsert, with the company and the deal that come with it.
#[derive(Debug, Clone, PartialEq)]
pub struct ContactWrite {
    /// The address by which the contact is upserted, trimmed and in lower case. Without one, `user_id` is given.
    pub email: Option<String>,
    /// The event's `userId`, where it is not the e-mail address.
    pub user_id: Option<String>,
    /// What to write, `emails` and `external_id` included.
    pub record: Record,
    /// From `traits.company`.
    pub company: Option<RelatedWrite>,
    /// From `traits.deal`.
    pub deal: Option<RelatedWrite>,
}

/// A sales account or a deal to upsert by name.
#[derive(Debug, Clone, PartialEq)]
pub struct RelatedWrite {
    /// The upsert's identifier; also in `record`.
    pub name: String,
    /// What to write.
    pub record: Record,
}

/// Field values by internal name, custom fields apart, as the API wants them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Default fields.
    pub fields: FieldTexts,
    /// Custom fields; they travel inside `custom_field`.
    pub custom_field: FieldTexts,
    /// Fields that the account requires of a new record and the event does not give, in the account's order.
    pub lacking: Vec<Lacking>,
}

/// A required field that the event does not give. Freshsales decides whether the record needs it: one that exists does
/// not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lacking {
    /// The field's internal name.
    pub field: String,
    /// The trait that sets the field.
    pub trait_path: String,
    /// Whether its value travels inside `custom_field`.
    pub custom: bool,
    /// The account's default for it, as the API takes it.
    pub default: Option<Value>,
}

/// The contact an activity belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The contact's e-mail address is known.
    Email(String),
    /// The event has only the sender's `userId`; the lane may find the address.
    UserId(String),
}

/// A track to report.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// The contact it is reported for.
    pub identity: Identity,
    /// The event's name.
    pub name: String,
    /// As sent; one called `name` is passed on as `property_name`.
    pub properties: ObjectText,
}

/// A page view to report.
#[derive(Debug, Clone, PartialEq)]
pub struct PageView {
    /// The contact it is reported for.
    pub identity: Identity,
    /// Never blank.
    pub url: String,
    /// As sent; one called `url` is not passed on.
    pub properties: ObjectText,
    /// The page's `name` and `category`, where the properties give none.
    pub added: Vec<(&'static str, String)>,
}

/// A value that does not fit its field and is not written, although the rest of the record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omitted {
    /// The entity whose field it is.
    pub entity: Entity,
    /// The field's internal name; the entity's where a whole company or deal is left out.
    pub field: String,
    /// The trait's path as the sender wrote it.
    pub trait_path: String,
    /// Why it does not fit, in words. Holds no part of the value.
    pub why: String,
}

/// A trait that sets no field, and why. [`Mapper::nearest`](crate::mapping::Mapper::nearest) finds a field with a like name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The entity whose traits it stands among.
    pub entity: Entity,
    /// The trait's path as the sender wrote it.
    pub trait_path: String,
    /// Why, in words: "no such field", "read-only field", ...
    pub why: &'static str,
}
