//! The account's defaults for required fields. They are coerced once, when the fields are read, by the same rules as
//! traits. One that does not fit is reported and not used; no event is refused for it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::mapping::MappingRules;
use crate::mapping::fields::field_index::FieldIndex;
use crate::mapping::fields::target::TargetField;
use crate::mapping::fields::writable::{UserId, managed};
use crate::mapping::values::coerce::{check_range, coerce};
use crate::schema::Entity;
use crate::segment::Given;

/// A configured default that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadDefault {
    /// The entity whose field it is for.
    pub entity: Entity,
    /// The field's name as the configuration writes it.
    pub key: String,
    /// Why, in words. Holds no part of the value.
    pub why: String,
}

/// Gives an entity's fields their defaults; returns those that cannot be used.
pub(in crate::mapping) fn fit(
    fields: &mut FieldIndex,
    given: BTreeMap<String, Value>,
    rules: &MappingRules,
) -> Vec<BadDefault> {
    let mut bad = Vec::new();
    let mut good = BTreeMap::new();
    for (key, value) in given {
        let fitted = match fields.resolve(&key) {
            None => Err("the account has no such field".to_owned()),
            Some((_, target)) => {
                wire(fields.entity, target, &value, rules).map(|value| (target.place, value))
            }
        };
        match fitted {
            Ok((place, value)) => drop(good.insert(place, value)),
            Err(why) => bad.push(BadDefault { entity: fields.entity, key, why }),
        }
    }
    fields.set_defaults(good);
    bad
}

fn wire(
    entity: Entity,
    target: TargetField<'_>,
    value: &Value,
    rules: &MappingRules,
) -> Result<Value, String> {
    if set_otherwise(entity, target) {
        return Err("a default cannot set this field".to_owned());
    }
    let given = coerce(target, Given::from(value), rules.coercion);
    let fitted = given.and_then(|value| check_range(entity, target, value));
    match fitted {
        Ok(Some(fitted)) => Ok(fitted.to_value()),
        Ok(None) => Err("the value is empty".to_owned()),
        Err(mismatch) => {
            Err(format!("{}: expected {}, got {}", mismatch.problem, mismatch.expected, mismatch.got))
        }
    }
}

/// Whether the field identifies the record, or is set by Freshsales or by linking records.
pub(in crate::mapping) fn set_otherwise(entity: Entity, target: TargetField<'_>) -> bool {
    let identity = match entity {
        Entity::Contact => matches!(target.name, "emails" | "external_id"),
        Entity::SalesAccount => target.name == "name",
        Entity::Deal => matches!(target.name, "name" | "sales_account_id"),
    };
    identity || managed(entity, target, UserId::Unknown).is_some()
}
