//! Freshsales' field metadata as data: what `/api/settings/{entity}/fields` says.
//! Pure; knows nothing of the other rooms.

mod field;

pub use field::{Choice, ChoiceId, Field, FieldType};

use serde::Deserialize;

/// A kind of record with a schema of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// A person.
    Contact,
    /// A company.
    SalesAccount,
    /// An opportunity.
    Deal,
}

impl Entity {
    /// Every entity Freshet writes.
    pub const ALL: &'static [Self] = &[Self::Contact, Self::SalesAccount, Self::Deal];

    /// The word in the API's paths: `/api/settings/{this}/fields`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Contact => "contacts",
            Self::SalesAccount => "sales_accounts",
            Self::Deal => "deals",
        }
    }

    /// The key that wraps one record in bodies.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::SalesAccount => "sales_account",
            Self::Deal => "deal",
        }
    }
}

/// The fields of one entity, as an answer of the settings endpoint carries them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Fields {
    /// In the account's own order.
    pub fields: Vec<Field>,
}

impl Fields {
    /// The field with this internal name, to the letter.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Everything known of one account's fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    /// The contact's fields.
    pub contact: Fields,
    /// The sales account's fields.
    pub sales_account: Fields,
    /// The deal's fields.
    pub deal: Fields,
}

impl Schema {
    /// The fields of one entity.
    pub fn fields(&self, entity: Entity) -> &Fields {
        match entity {
            Entity::Contact => &self.contact,
            Entity::SalesAccount => &self.sales_account,
            Entity::Deal => &self.deal,
        }
    }
}
