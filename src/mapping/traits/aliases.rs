//! The field that a trait's name means where no override says so: Freshsales' own name for it, Segment's, or a
//! drop-down's without `_id`. `resolution` asks.

use crate::mapping::fields::FoldedName;
use crate::mapping::fields::field_index::{FieldIndex, Rank};
use crate::mapping::fields::target::TargetField;
use crate::schema::Entity;
use crate::segment::fold;

/// The field that the trait `key` names. `folded` is the same key, folded.
pub(super) fn named_field<'a>(
    fields: &'a FieldIndex,
    key: &str,
    folded: FoldedName<'_>,
) -> Option<(Rank, TargetField<'a>)> {
    let alias = |field| fields.get(field).map(|target| (Rank::Alias, target));
    // The account's own field `title` or `phone` is not what Segment's reserved traits mean.
    preferred_alias(fields.entity, folded.text)
        .and_then(alias)
        .or_else(|| fields.named(key, folded))
        .or_else(|| fallback_alias(fields.entity, folded.text).and_then(alias))
        .or_else(|| fields.drop_down(folded).map(|target| (Rank::Alias, target)))
}

/// The field for a part of the trait `address`.
pub(super) fn address_field<'a>(fields: &'a FieldIndex, part: &str) -> Option<TargetField<'a>> {
    let field = match fold(part).as_str() {
        "street" => "address",
        "city" => "city",
        "state" => "state",
        "postalcode" | "zipcode" => "zipcode",
        "country" => "country",
        _ => return None,
    };
    fields.get(field)
}

fn preferred_alias(entity: Entity, folded: &str) -> Option<&'static str> {
    match (entity, folded) {
        (Entity::Contact, "title") => Some("job_title"),
        (Entity::Contact, "phone") => Some("work_number"),
        (Entity::Contact | Entity::SalesAccount | Entity::Deal, _) => None,
    }
}

fn fallback_alias(entity: Entity, folded: &str) -> Option<&'static str> {
    match (entity, folded) {
        (Entity::SalesAccount, "industry") => Some("industry_type_id"),
        (Entity::SalesAccount, "employees" | "employeecount") => Some("number_of_employees"),
        (Entity::Contact | Entity::SalesAccount | Entity::Deal, _) => None,
    }
}
