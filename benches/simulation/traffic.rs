//! Events, and when they come. What one kind of traffic says can be compared with what the account holds in the end.

use std::time::Duration;

use freshet::lane::ContactKey;
use freshet::mapping::{Activity, ContactWrite, Identity, Mapped, PageView, Record, RelatedWrite};
use freshet::object::ObjectText;
use serde_json::{Map, Value, json};

use super::account::Account;

/// What each event of a traffic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An identify with an address alone.
    Address,
    /// An identify with values.
    Bare,
    /// With one of so many companies.
    WithCompany(usize),
    /// The documented example: with a company and a deal of its own.
    Documented,
    Track,
    TrackByUserId,
    Page,
}

/// One event. Events of one `number` are of one contact, and `round` changes all their values.
pub fn event(kind: Kind, number: usize, round: u32) -> Mapped {
    let write = match kind {
        Kind::Address => ContactWrite { record: Record::default(), ..bare(number, round) },
        Kind::Bare => bare(number, round),
        Kind::WithCompany(of) => {
            // Companies stay as they are: only the contact has other values.
            ContactWrite { company: Some(company(number % of, 0)), ..bare(number, round) }
        }
        Kind::Documented => ContactWrite {
            company: Some(company(number, round)),
            deal: Some(related(format!("Deal {number}"), &json!({ "amount": round }))),
            ..bare(number, round)
        },
        Kind::Track => return Mapped::Track(track(Identity::Email(email(number)))),
        Kind::TrackByUserId => return Mapped::Track(track(Identity::UserId(user_id(number)))),
        Kind::Page => {
            return Mapped::Page(PageView {
                identity: Identity::Email(email(number)),
                url: "https://www.example.com/pricing".to_owned(),
                properties: ObjectText::default(),
                added: Vec::new(),
            });
        }
    };
    let mut write = Box::new(write);
    write.record.fields.insert("emails", email(number));
    Mapped::Contact(write)
}

/// The names by which the event's contact is known.
pub fn keys(event: &Mapped) -> Vec<ContactKey> {
    let of = |identity: &Identity| match identity {
        Identity::Email(email) => ContactKey::Email(email.clone()),
        Identity::UserId(user_id) => ContactKey::UserId(user_id.clone()),
    };
    match event {
        Mapped::Contact(write) => write.email.iter().cloned().map(ContactKey::Email).collect(),
        Mapped::Track(activity) => vec![of(&activity.identity)],
        Mapped::Page(page) => vec![of(&page.identity)],
    }
}

pub fn email(number: usize) -> String {
    format!("c{number}@example.com")
}

pub fn user_id(number: usize) -> String {
    format!("u-{number}")
}

fn bare(number: usize, round: u32) -> ContactWrite {
    let mut record = Record::default();
    record.fields.insert("first_name", format!("Contact {number}"));
    record.fields.insert("job_title", format!("Title {round}"));
    ContactWrite { email: Some(email(number)), user_id: None, record, company: None, deal: None }
}

pub fn company(number: usize, round: u32) -> RelatedWrite {
    related(format!("Company {number}"), &json!({ "phone": format!("+31 10 555 {round:04}") }))
}

fn related(name: String, values: &Value) -> RelatedWrite {
    let mut record = Record::default();
    record.fields.insert("name", name.clone());
    for (field, value) in values.as_object().into_iter().flatten() {
        record.fields.insert(field, value.clone());
    }
    RelatedWrite { name, record }
}

fn track(identity: Identity) -> Activity {
    Activity { identity, name: "Order Completed".to_owned(), properties: ObjectText::default() }
}

/// So many events at once.
pub fn at_once(events: usize) -> Vec<Duration> {
    vec![Duration::ZERO; events]
}

/// So many events, 200 a second.
pub fn steadily(events: usize) -> Vec<Duration> {
    (0..events).map(|n| Duration::from_millis(5 * n as u64)).collect()
}

/// Asserts that the account holds what the event says: values, links and the deal, once. `old_links` are those
/// that the contact had before.
pub fn assert_written(account: &Account, event: &Mapped, old_links: &[i64]) {
    let Mapped::Contact(write) = event else { return };
    let email = write.email.as_deref().expect("it has an address");
    let id = account.contact_by_email(email).expect("the contact is there");
    let contact = account.contact(id).expect("the contact is there");
    assert_values(&contact.fields, &write.record);
    let mut expected = old_links.to_vec();
    if let Some(company) = &write.company {
        let company_id = account.by_name(freshet::schema::Entity::SalesAccount, &company.name);
        let company_id = company_id.expect("the company is there");
        assert_values(&account.sales_account(company_id).expect("it is there").fields, &company.record);
        expected.push(company_id);
    }
    let links = &contact.relations.links;
    let mut linked: Vec<i64> = links.iter().map(|link| link.account).collect();
    linked.sort_unstable();
    expected.sort_unstable();
    assert_eq!(linked, expected, "the links of contact {id}");
    let primary = links.iter().filter(|link| link.primary).count();
    assert_eq!(primary, usize::from(!links.is_empty()), "the primary links of contact {id}");
    let deals: Vec<_> = contact.relations.deals.iter().filter_map(|deal| account.deal(*deal)).collect();
    assert_eq!(deals.len(), usize::from(write.deal.is_some()), "the deals of contact {id}");
    for (deal, written) in deals.iter().zip(&write.deal) {
        assert_eq!((&deal.name, deal.contacts.as_slice()), (&written.name, [id].as_slice()));
        assert_values(&deal.fields, &written.record);
        let company = write.company.as_ref().map(|company| &company.name);
        let linked = deal.sales_account.and_then(|id| account.sales_account(id));
        assert_eq!(linked.map(|account| &account.name), company, "the deal's sales account");
    }
}

fn assert_values(stored: &Map<String, Value>, record: &Record) {
    for (field, value) in record.fields.values().iter().filter(|(field, _)| *field != "emails") {
        assert_eq!(stored.get(field), Some(value), "{field}");
    }
}
