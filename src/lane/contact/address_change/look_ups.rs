//! After a look-up or a read that was made to find out which contact an event is about.

use serde_json::Value;

use super::identify::{NO_SUCH_CONTACT, no_contact};
use super::progress::IdentityProgress;
use crate::freshsales::{Endpoint, FoundContact, found_contact, found_owner};
use crate::lane::contact::contact_work::{ContactWork, first_step};
use crate::lane::contact::refused::refusal::RefusedCall;
use crate::lane::contact::step::{LookUp, Step};
use crate::lane::contact::steps::{StepContext, StepProgress};
use crate::lane::contact::work_item::WorkItem;
use crate::outcome::Outcome;
use crate::schema::Entity;

#[derive(Debug)]
pub(in crate::lane) enum Looked {
    /// The item goes on.
    On(StepProgress),
    /// No other contact was found, so this refusal of the endpoint's call stands; other remedies may help.
    RefusalStands(Endpoint, RefusedCall),
}

const ENTERED: Looked = Looked::On(StepProgress::Entered);

/// Takes the answer to the item's look-up. Without a body it was refused, which counts as finding no contact.
pub(in crate::lane) fn answered<D>(
    item: &mut WorkItem<D>,
    body: Option<&Value>,
    context: &mut StepContext<'_>,
) -> Looked {
    let Some(work) = item.contact_mut() else { return ENTERED };
    let (Some(user_id), Some(look_up)) = (work.write.external_id(), work.step.look_up()) else {
        return ENTERED;
    };
    work.identity.look_ups += 1;
    let usable = |found: &FoundContact| found.id.is_some() && found.id != work.identity.ruled_out;
    let found = body.and_then(|body| found_contact(body, &user_id)).filter(usable);
    match look_up {
        LookUp::Contact => contact_found(work, &user_id, found, Answered::from(body), context),
        LookUp::Holder => holder_found(work, &user_id, found, context),
        LookUp::Owner => {
            let owner = body.and_then(|body| found_owner(body, work.write.address()));
            if owner.and_then(|owner| owner.id).is_none_or(|id| Some(id) == work.known.contact_id) {
                return refusal_stands(work);
            }
            work.identity = IdentityProgress::belongs_to_other();
            if item.split_by_own_address() {
                if let Some(work) = item.contact_mut() {
                    work.identity = IdentityProgress::belongs_to_other();
                    work.identity.by_address = true;
                }
            } else if let Some(work) = item.contact_mut() {
                write_by_address(work);
            }
            ENTERED
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    Yes,
    Refused,
}

impl From<Option<&Value>> for Answered {
    fn from(body: Option<&Value>) -> Self {
        body.map_or(Self::Refused, |_| Self::Yes)
    }
}

/// The contact of an identify without an address was looked up.
fn contact_found(
    work: &mut ContactWork,
    user_id: &str,
    found: Option<FoundContact>,
    answered: Answered,
    context: &mut StepContext<'_>,
) -> Looked {
    match found {
        Some(FoundContact { primary: Some(email), .. }) => {
            context.identities.found(user_id, email);
            ENTERED
        }
        Some(FoundContact { id, .. }) => {
            work.known.contact_id = id;
            work.step = first_step(&work.write);
            ENTERED
        }
        None => {
            if let Some(at) = context.too_early()
                && answered == Answered::Yes
                && work.identity.look_ups == 1
            {
                return Looked::On(StepProgress::LookUpAt(at));
            }
            context.identities.not_found(user_id, context.now);
            let why = match answered {
                Answered::Yes => NO_SUCH_CONTACT,
                Answered::Refused => "it cannot be looked up who has it",
            };
            Looked::On(StepProgress::Finished(Outcome::DeadLetter(no_contact(why))))
        }
    }
}

/// The contact that has the event's `external_id` was looked up.
fn holder_found(
    work: &mut ContactWork,
    user_id: &str,
    found: Option<FoundContact>,
    context: &mut StepContext<'_>,
) -> Looked {
    let Some(holder) = found.filter(|found| !found.has(work.write.address())) else {
        if work.identity.refused.is_some() {
            return refusal_stands(work);
        }
        write_by_address(work);
        return ENTERED;
    };
    work.trial = None;
    match (holder.primary, holder.id) {
        (Some(email), Some(id)) => {
            let times = context.times();
            context.records.learn_contact(&email, id, None, times);
            context.identities.found(user_id, email);
            let wrong_finds = work.identity.wrong_finds + 1;
            work.identity = IdentityProgress { wrong_finds, ..IdentityProgress::default() };
            work.step = Step::Contact;
        }
        (_, id) => {
            work.known.contact_id = id;
            work.step = if work.write.says_email { Step::ReadEmails } else { Step::Update };
        }
    }
    ENTERED
}

/// Takes the addresses of the contact that gets another one.
pub(in crate::lane) fn emails_read<D>(
    item: &mut WorkItem<D>,
    body: &Value,
    context: &mut StepContext<'_>,
) -> StepProgress {
    let Some(work) = item.contact_mut() else { return StepProgress::Entered };
    if work.take_addresses(body) {
        work.identity.keep_addresses();
        work.trial = None;
        work.step = Step::Update;
    } else {
        begin_by_address(item, context);
    }
    StepProgress::Entered
}

/// The contact that was to get the address does not exist or has another `external_id`: begins again by the address.
pub(super) fn begin_by_address<D>(item: &mut WorkItem<D>, context: &mut StepContext<'_>) {
    let Some(work) = item.contact() else { return };
    let identity = IdentityProgress {
        ruled_out: work.known.contact_id,
        wrong_finds: work.identity.wrong_finds + 1,
        by_address: true,
        ..IdentityProgress::default()
    };
    if let Some(user_id) = work.write.external_id() {
        if let Some(former) = context.identities.former_email(&user_id, work.write.address()) {
            context.records.forget(former, None);
        }
        context.identities.forget(&user_id);
    }
    item.restart_without_cache();
    if let Some(work) = item.contact_mut() {
        work.identity = identity;
    }
}

fn write_by_address(work: &mut ContactWork) {
    work.identity.by_address = true;
    work.known.contact_id = None;
    work.trial = None;
    work.step = Step::Contact;
}

/// No other contact was found, so the refusal stands.
fn refusal_stands(work: &mut ContactWork) -> Looked {
    let Some(refused) = work.identity.refused.take() else {
        write_by_address(work);
        return ENTERED;
    };
    let (step, endpoint) = if work.changes_address() {
        (Step::Update, Endpoint::ContactUpdate)
    } else {
        (Step::Contact, Endpoint::Upsert(Entity::Contact))
    };
    work.step = step;
    if work.identity.look_ups > 1 {
        // The refusal is old by now, and another event may have taken the userId or the address away from the contact that
        // had it: the call is made once more. If it is refused again, that refusal stands.
        return ENTERED;
    }
    Looked::RefusalStands(endpoint, refused)
}
