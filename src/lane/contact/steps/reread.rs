//! What is read before a failed call is sent again. The call's body may hold what was read before: a contact's links and
//! addresses, a deal's custom fields, a record's tags. People and other programs may have changed these since, so the body
//! is made anew. The creation of a deal may have taken effect, so the contact's deals are read first.

use serde_json::Value;

use crate::freshsales::{Call, Endpoint, Verdict, custom_fields, linked_accounts};
use crate::lane::contact::cache::contacts::KnownLinks;
use crate::lane::contact::contact_work::{ContactWork, DealId};
use crate::lane::contact::step::Step;
use crate::lane::contact::tags::Comparison;
use crate::schema::Entity;

/// The call that is made first, before `failed` is sent again; `None` if it can be sent again as it is.
pub(in crate::lane) fn call_before(work: &mut ContactWork, failed: &Call, verdict: &Verdict) -> Option<Call> {
    if failed.endpoint == Endpoint::DealCreate && may_have_taken_effect(verdict) {
        let read = Call::contact_read_with_deals(work.known.contact_id?);
        work.step = Step::FindDeal;
        return Some(read);
    }
    if failed.endpoint == Endpoint::DealRead {
        return None;
    }
    if let Step::Tags(tagging) = &work.step {
        return Some(tagging.read());
    }
    let changes_address = work.step == Step::Update && work.changes_address();
    if matches!(work.step, Step::Link(_)) || changes_address {
        return Some(Call::contact_read(work.known.contact_id?));
    }
    match work.known.deal {
        DealId::Known(id) if work.step == Step::Deal && work.known.deal_custom_fields.is_some() => {
            Some(Call::read(Entity::Deal, id))
        }
        DealId::Known(_) | DealId::Unknown | DealId::ByName | DealId::New => None,
    }
}

/// Whether a call may have taken effect although it was answered so.
fn may_have_taken_effect(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Unavailable { .. } | Verdict::Unrecognized(_) => true,
        Verdict::Done(_)
        | Verdict::Refused { .. }
        | Verdict::Denied { .. }
        | Verdict::Unauthorized { .. }
        | Verdict::Throttled { .. }
        | Verdict::TooManyJobs => false,
    }
}

/// Takes what was read. Returns the call to send now in place of `failed`, if one is still needed.
pub(in crate::lane) fn call_after(work: &mut ContactWork, body: &Value, failed: Call) -> Option<Call> {
    match &work.step {
        Step::Tags(tagging) => {
            let Comparison::Missing(tagging) = tagging.compare(body) else {
                // Nothing more is written: the reading says whether the tags are there.
                work.step = Step::ReadTags(tagging.clone());
                return None;
            };
            work.step = Step::Tags(tagging);
        }
        Step::Link(_) => {
            // Where the links are not shown, those that were read before are sent again.
            let (Some(account), Some(links)) = (work.known.account_id, linked_accounts(body)) else {
                return Some(failed);
            };
            if links.iter().any(|link| link.id == account) {
                work.step = Step::Link(links);
                return None;
            }
            work.step = Step::Link(KnownLinks::shown(&links).with(account));
        }
        Step::Update => {
            if !work.take_addresses(body) {
                work.step = Step::ReadEmails;
                return None;
            }
        }
        Step::FindDeal => {
            work.find_deal(body);
            if matches!(work.known.deal, DealId::Known(_)) {
                return None;
            }
            work.step = Step::Deal;
            return Some(failed);
        }
        Step::Deal => work.known.deal_custom_fields = Some(custom_fields(body).unwrap_or_default()),
        Step::FindContact
        | Step::Company
        | Step::Contact
        | Step::FindId(_)
        | Step::FindHolder
        | Step::ReadEmails
        | Step::FindOwner
        | Step::ReadLinks
        | Step::ReadTags(_)
        | Step::ConfirmExists(_) => return None,
    }
    work.call()
}
