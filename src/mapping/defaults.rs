//! The account's defaults for required fields: judged once, when the fields are read, by the same rules as traits.
//! One that does not fit is told and left out; it never condemns an event.

use std::collections::BTreeMap;

use serde_json::Value;

use super::MappingRules;
use super::record::managed;
use crate::mapping::fields::field_index::Names;
use crate::mapping::fields::target::Target;
use crate::mapping::values::coerce::{coerce, kept};
use crate::schema::Entity;

/// A default that is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadDefault {
    /// Whose field it is for.
    pub entity: Entity,
    /// The field's name as the configuration writes it.
    pub key: String,
    /// Why, ready to be read. Holds no part of the value.
    pub why: String,
}

/// Gives an entity's fields their defaults, and tells which are of no use.
pub(super) fn fit(
    names: &mut Names,
    given: BTreeMap<String, Value>,
    rules: &MappingRules,
) -> Vec<BadDefault> {
    let mut bad = Vec::new();
    let mut good = BTreeMap::new();
    for (key, value) in given {
        let fitted = match names.resolve(&key) {
            None => Err("the account has no such field".to_owned()),
            Some((_, target)) => wire(names.entity, target, value, rules).map(|value| (target.place, value)),
        };
        match fitted {
            Ok((place, value)) => drop(good.insert(place, value)),
            Err(why) => bad.push(BadDefault { entity: names.entity, key, why }),
        }
    }
    names.defaults = good;
    bad
}

fn wire(entity: Entity, target: Target<'_>, value: Value, rules: &MappingRules) -> Result<Value, String> {
    if set_otherwise(entity, target) {
        return Err("a default cannot set this field".to_owned());
    }
    let fitted = coerce(target, value, rules.coercion).and_then(|value| kept(entity, target, value));
    match fitted {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err("the value is empty".to_owned()),
        Err(misfit) => Err(format!("{}: expected {}, got {}", misfit.problem, misfit.expected, misfit.got)),
    }
}

/// What says which record it is, and what Freshsales or linking sets.
fn set_otherwise(entity: Entity, target: Target<'_>) -> bool {
    let identity = match entity {
        Entity::Contact => matches!(target.name, "emails" | "external_id"),
        Entity::SalesAccount => target.name == "name",
        Entity::Deal => matches!(target.name, "name" | "sales_account_id"),
    };
    identity || managed(entity, target, false).is_some()
}
