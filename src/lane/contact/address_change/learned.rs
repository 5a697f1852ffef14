//! What the end of events says of the contact they are about.

use crate::lane::contact::cache::identities::{IdentityCache, IdentityEnd};
use crate::lane::contact::held::HeldEvent;
use crate::lane::contact::work_item::WorkItem;
use crate::mapping::Omitted;
use crate::outcome::Outcome;
use crate::schema::Entity;

/// Learns which addresses belong to which `userId`s from the end of the item's events. Returns what was left out of the
/// contact.
pub(in crate::lane) fn from_end<D>(
    item: &WorkItem<D>,
    outcome: &Outcome,
    identities: &mut IdentityCache,
) -> Vec<Omitted> {
    let Some(work) = item.contact() else { return Vec::new() };
    let end = match outcome {
        Outcome::Delivered if work.identity.without_external_id => IdentityEnd::WithoutUserId,
        Outcome::Delivered => IdentityEnd::Delivered,
        Outcome::DeadLetter(_) => IdentityEnd::Refused,
        Outcome::Skipped(_) | Outcome::Returned => return Vec::new(),
    };
    for (number, event) in &item.events {
        if let HeldEvent::Contact(write) = &event.event
            && let Some(user_id) = write.external_id()
            && let Some(email) = write.email.as_ref().or(work.write.email.as_ref())
        {
            identities.ended(&user_id, email, *number, end);
        }
    }
    let omitted = |is: bool, field: &str, trait_path: &str, why: &str| {
        (is && *outcome == Outcome::Delivered).then(|| Omitted {
            entity: Entity::Contact,
            field: field.to_owned(),
            trait_path: trait_path.to_owned(),
            why: why.to_owned(),
        })
    };
    let external_id = omitted(
        work.identity.without_external_id,
        "external_id",
        "userId",
        "the event's e-mail address belongs to another contact than its userId",
    );
    let emails = omitted(
        work.identity.too_many_emails,
        "emails",
        "email",
        "the contact has as many e-mail addresses as Freshsales keeps",
    );
    external_id.into_iter().chain(emails).collect()
}
