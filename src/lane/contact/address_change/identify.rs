//! Before a step: follows what the lane knows of the `userId`, and says whether the events must wait for others first.

use std::sync::Arc;

use super::MOST_TRIES;
use crate::lane::contact::cache::identities::IdentityCache;
use crate::lane::contact::cache::records::RecordCache;
use crate::lane::contact::contact_work::first_step;
use crate::lane::contact::step::Step;
use crate::lane::contact::work_item::WorkItem;
use crate::outcome::{DeadLetterReason, Problem, Refusal};

/// Whether a work item's step may go.
#[derive(Debug)]
pub(in crate::lane) enum Identified {
    Ready,
    /// Its events wait for earlier ones of this address, too.
    WaitFor {
        email: String,
        role: AddressRole,
    },
    /// No contact has the `userId` of its events, and they have no address.
    NoContact(Refusal),
}

/// What an address that events wait under is to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum AddressRole {
    /// The contact's own: events without an address take it over.
    Own,
    /// The one that the contact had before.
    Former,
}

/// Follows what is known of the contact before the item's next step is planned. `waits_under` says whether the item's
/// first event waits behind the earlier events of an address already.
pub(in crate::lane) fn before_step<D>(
    item: &mut WorkItem<D>,
    records: &mut RecordCache,
    identities: &IdentityCache,
    waits_under: impl Fn(u64, &str) -> bool,
) -> Identified {
    let Some(work) = item.contact_mut() else { return Identified::Ready };
    let Some(user_id) = work.write.external_id() else { return Identified::Ready };
    if work.step == Step::FindContact {
        return match identities.own_email(&user_id).map(str::to_owned) {
            Some(email) => wait_for(item, email, AddressRole::Own),
            None if identities.owner_needs_look_up(&user_id) || identities.may_exist_by_now(&user_id) => {
                Identified::Ready
            }
            None => Identified::NoContact(no_contact(NO_SUCH_CONTACT)),
        };
    }
    if work.step == Step::Contact && work.write.email.is_none() {
        work.step = Step::Update;
        return Identified::Ready;
    }
    if !matches!(work.step, Step::Company | Step::Contact)
        || work.write.email.is_none()
        || work.identity.by_address
    {
        return Identified::Ready;
    }
    let other_contacts = identities.belongs_to_other_contact(&user_id, work.write.address());
    if other_contacts && item.split_by_own_address() {
        return before_step(item, records, identities, waits_under);
    }
    if other_contacts && item.contact().is_some_and(|work| !work.write.says_email) {
        // An earlier identify gave the address, and it is another contact's: this event must not be written there.
        item.drop_address();
        return before_step(item, records, identities, waits_under);
    }
    let first = item.events.first().map(|(event, _)| *event);
    let Some(work) = item.contact_mut() else { return Identified::Ready };
    work.identity.without_external_id = other_contacts;
    let Some(former) = identities.former_email(&user_id, work.write.address()).map(str::to_owned) else {
        return Identified::Ready;
    };
    if !work.write.says_email {
        return wait_for(item, former, AddressRole::Own);
    }
    if first.is_none_or(|first| !waits_under(first, &former)) {
        return wait_for(item, former, AddressRole::Former);
    }
    if work.step == Step::Contact {
        work.known.contact_id = records.contact_id(&former);
        work.step = if work.known.contact_id.is_some() { Step::ReadEmails } else { Step::FindHolder };
    }
    Identified::Ready
}

/// Lets the events wait under an address, unless they did so too often.
fn wait_for<D>(item: &mut WorkItem<D>, email: String, role: AddressRole) -> Identified {
    let put_back = item.events.iter().map(|(_, event)| event.put_back).max().unwrap_or_default();
    if put_back < MOST_TRIES {
        return Identified::WaitFor { email, role };
    }
    if let Some(work) = item.contact_mut() {
        work.identity.by_address = true;
        if role == AddressRole::Own {
            Arc::make_mut(&mut work.write).email = Some(email.into());
            work.step = first_step(&work.write);
        }
    }
    Identified::Ready
}

pub(super) const NO_SUCH_CONTACT: &str = "no contact has it as its external_id";

/// The dead letter of an event that names no contact.
pub(super) fn no_contact(why: &str) -> Refusal {
    let problem = Problem {
        field: Some("emails".to_owned()),
        trait_path: Some("email".to_owned()),
        problem: format!("there is no e-mail address, userId is none, and {why}"),
        expected: Some("an e-mail address, or the userId of a contact that is there".to_owned()),
        ..Problem::default()
    };
    Refusal::new(DeadLetterReason::MissingEmail, problem)
}
