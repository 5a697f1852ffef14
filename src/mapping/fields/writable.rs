//! Which fields a trait or a default may set or clear. `record` and `defaults` ask.

use super::target::TargetField;
use crate::schema::Entity;

/// Whether the event's `userId` sets `external_id`, so that no trait may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mapping) enum UserId {
    Known,
    Unknown,
}

/// Why no trait may set this field; `None` if one may.
pub(in crate::mapping) fn managed(
    entity: Entity,
    target: TargetField<'_>,
    user_id: UserId,
) -> Option<&'static str> {
    match (entity, target.name) {
        (Entity::Contact, "sales_accounts") => Some("set through company"),
        (Entity::Deal, "contacts") => Some("set through the contact"),
        (Entity::Contact, "external_id") if user_id == UserId::Known => Some("userId sets this field"),
        _ => target.read_only.then_some("read-only field"),
    }
}

/// Whether null may empty the field. It may not empty what identifies or links the record.
pub(in crate::mapping) fn clearable(entity: Entity, target: TargetField<'_>) -> bool {
    match entity {
        Entity::Contact => target.name != "emails",
        Entity::SalesAccount => target.name != "name",
        Entity::Deal => !matches!(target.name, "name" | "sales_account_id"),
    }
}

/// Whether the record is upserted by this field, so that none can be written without it.
pub(in crate::mapping) fn identifies(entity: Entity, target: TargetField<'_>) -> bool {
    match entity {
        Entity::Contact => false,
        Entity::SalesAccount | Entity::Deal => target.name == "name",
    }
}
