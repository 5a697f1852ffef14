//! Whether an answer is about the record that was asked for. One that is about another record counts as no answer, and
//! nothing is learned from it.

use serde_json::Value;

use crate::freshsales::{
    Endpoint, UnavailableCause, Verdict, is_another_contact, linked_accounts, record_id,
};
use crate::lane::contact::contact_work::{ContactWork, DealId};
use crate::lane::contact::step::Step;
use crate::schema::Entity;

/// The verdict on the answer to the contact's step, once its body was compared with what was asked for.
pub(in crate::lane) fn checked(work: &ContactWork, endpoint: Endpoint, verdict: Verdict) -> Verdict {
    match &verdict {
        Verdict::Done(body) if !fits(work, endpoint, body) => {
            Verdict::Unavailable { cause: UnavailableCause::UnexpectedBody(200), retry_after: None }
        }
        Verdict::Done(_)
        | Verdict::Refused { .. }
        | Verdict::Denied { .. }
        | Verdict::Unauthorized { .. }
        | Verdict::Throttled { .. }
        | Verdict::TooManyJobs
        | Verdict::Unavailable { .. }
        | Verdict::Unrecognized(_) => verdict,
    }
}

fn fits(work: &ContactWork, endpoint: Endpoint, body: &Value) -> bool {
    let id = |entity: Entity| record_id(body, entity.singular());
    if let Step::ReadTags(tagging) | Step::Tags(tagging) = &work.step {
        return id(tagging.entity) == Some(tagging.id);
    }
    if let Step::ConfirmExists(record) = &work.step {
        return id(record.entity) == Some(record.id);
    }
    let same_contact = || id(Entity::Contact) == work.known.contact_id;
    match endpoint {
        Endpoint::Upsert(Entity::Contact) => !is_another_contact(body, work.write.address()),
        Endpoint::ContactRead => {
            same_contact() && (work.step != Step::ReadLinks || linked_accounts(body).is_some())
        }
        Endpoint::ContactUpdate => same_contact(),
        Endpoint::DealRead | Endpoint::DealUpdate => {
            id(Entity::Deal).map(DealId::Known) == Some(work.known.deal)
        }
        Endpoint::Fields(_)
        | Endpoint::Selector(_)
        | Endpoint::Upsert(Entity::SalesAccount | Entity::Deal)
        | Endpoint::BulkUpsert(_)
        | Endpoint::JobStatus
        | Endpoint::Lookup
        | Endpoint::Search(_)
        | Endpoint::SalesAccountRead
        | Endpoint::SalesAccountUpdate
        | Endpoint::DealCreate
        | Endpoint::TrackEvent
        | Endpoint::TrackPageView => true,
    }
}
