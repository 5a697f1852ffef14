//! One account's settings for mapping. `config` reads them; the mapper follows them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::schema::{Entity, PerEntity};

/// One account's mapping settings, filled by the configuration. [`Default`] has the documented defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingRules {
    /// Trait path -> field. Paths of sales accounts are those inside `company`, of deals inside `deal`.
    pub fields: PerEntity<BTreeMap<String, String>>,
    /// Field -> value, sent when Freshsales refuses a record because the field is missing.
    pub defaults: PerEntity<BTreeMap<String, Value>>,
    /// What becomes of a trait named like a custom field that the account does not have.
    pub unknown_custom_field: UnknownCustomField,
    /// How far a value may differ from its field's type.
    pub coercion: Coercion,
    /// What becomes of a value that does not fit its field.
    pub invalid_value: InvalidValue,
    /// What becomes of an identify with an e-mail address and without a `userId`.
    pub anonymous_identify: AnonymousIdentify,
    /// What becomes of a trait that is null.
    pub null_traits: NullTraits,
}

/// The configuration's table of defaults for records of this entity.
pub const fn defaults_table(entity: Entity) -> &'static str {
    match entity {
        Entity::Contact => "accounts.defaults",
        Entity::SalesAccount => "accounts.company_defaults",
        Entity::Deal => "accounts.deal_defaults",
    }
}

/// What happens to a trait named like a custom field (`cf...`) that the account does not have.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum UnknownCustomField {
    /// The event is dead-lettered: its data would be lost otherwise.
    #[default]
    DeadLetter,
    /// The trait is ignored and counted.
    Ignore,
}

/// What happens to a value that does not fit its field.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum InvalidValue {
    /// The event is dead-lettered.
    #[default]
    DeadLetter,
    /// The value is left out, counted and logged; the rest is written.
    Omit,
}

/// What happens to an identify that has an e-mail address and no `userId`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AnonymousIdentify {
    /// It is dead-lettered.
    #[default]
    DeadLetter,
    /// It becomes a contact that is identified by its e-mail address alone.
    ByEmail,
}

/// What happens to a trait that is null.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NullTraits {
    /// It counts as absent.
    #[default]
    Ignore,
    /// The field is emptied.
    Clear,
}

/// How far a value may differ from its field's type.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Coercion {
    /// A value is converted where the conversion loses no information.
    #[default]
    Lossless,
    /// The value must have the field's JSON type, and labels must be equal to the letter.
    Strict,
}
