//! The bodies that carry an event when nothing is known of its records and nothing waits beside it. Lanes decide call by
//! call; only benches and tests of cost ask for them at once.

use bytes::Bytes;

use super::held::{HeldContact, HeldEvent};
use crate::freshsales::{Call, Identifier};
use crate::mapping::Mapped;
use crate::schema::Entity;

/// The bodies of its calls, each sent alone: those of the company, the contact and the deal, or that of the activity.
pub fn single_bodies(mapped: Mapped) -> Vec<Bytes> {
    let mut calls = Vec::with_capacity(3);
    match HeldEvent::from(mapped) {
        HeldEvent::Contact(write) => {
            let HeldContact { company, record, deal, .. } = &*write;
            if let Some(company) = company {
                let record = company.record.object(&[]);
                calls.push(Call::named_upsert(Entity::SalesAccount, &company.name, &record));
            }
            calls.push(Call::contact_upsert(write.address(), &record.object(&[])));
            calls.extend(deal.as_ref().map(|deal| Call::deal_create(&deal.record.object(&[]))));
        }
        HeldEvent::Track(track) => calls.push(Call::track_event("", &track.name, track.properties.as_str())),
        HeldEvent::Page(page) => {
            calls.push(Call::track_page_view("", &page.url, page.properties.as_str(), &page.added));
        }
    }
    calls.into_iter().filter_map(|call| call.body).collect()
}

/// The body of one bulk upsert of these events' contacts.
pub fn bulk_body(events: Vec<Mapped>) -> Option<Bytes> {
    let contacts = events.into_iter().filter_map(|mapped| match HeldEvent::from(mapped) {
        HeldEvent::Contact(write) => Some(write),
        HeldEvent::Track(_) | HeldEvent::Page(_) => None,
    });
    let row = |write: std::sync::Arc<HeldContact>| {
        (Identifier::Text(write.address().to_owned()), write.record.object(&[]))
    };
    Call::bulk_upsert(Entity::Contact, &contacts.map(row).collect::<Vec<_>>()).body
}
