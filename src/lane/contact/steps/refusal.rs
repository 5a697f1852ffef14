//! The way of a step whose call was refused: what may still help, in the order in which it is tried, and the dead letter
//! if nothing does.

use serde_json::Value;

use super::{Advance, Deals, StepContext, StepProgress};
use crate::freshsales::Endpoint;
use crate::lane::contact::address_change;
use crate::lane::contact::address_change::look_ups::Looked;
use crate::lane::contact::refused::refusal::{Ground, RefusedCall};
use crate::lane::contact::refused::remedy;
use crate::lane::contact::step::{CachedRecord, Step};
use crate::lane::contact::work_item::WorkItem;
use crate::mapping::{InvalidValue, Omitted};
use crate::outcome::Outcome;
use crate::schema::Entity;

pub(in crate::lane) fn refused<D>(
    item: &mut WorkItem<D>,
    endpoint: Endpoint,
    refused: RefusedCall,
    context: &mut StepContext<'_>,
) -> Advance {
    if refused.is_rejection() {
        // It got through, and the next failure may be of another kind. So did a call whose refusal stands after a look-up.
        item.failing_since = None;
    }
    let Some(work) = item.contact() else { return give_up(item, refused, context) };
    if endpoint == Endpoint::DealCreate {
        work.not_created(&refused, context.records);
    }
    if endpoint == Endpoint::Lookup {
        // A refused look-up counts as one that finds no contact.
        return looked_up(item, None, context);
    }
    if address_change::refusals::contact_not_found(item, &refused, context) {
        return StepProgress::Entered.into();
    }
    if begin_again(item, endpoint, &refused, context) {
        return StepProgress::Entered.into();
    }
    let Some(work) = item.contact_mut() else { return give_up(item, refused, context) };
    if let Step::ConfirmExists(record) = &work.step {
        let record = record.clone();
        return refused_for_good(item, *record, context);
    }
    if context.invalid_value == InvalidValue::Omit
        && matches!(refused.ground, Ground::Denied(Some(_), _))
        && let Some(entity) = work.leave_out()
    {
        return without_denied(entity);
    }
    if address_change::refusals::look_up_owner(work, &refused) {
        return StepProgress::Entered.into();
    }
    if item.events.len() > 1 {
        // The answer to all does not say which of them is refused.
        item.split();
        return StepProgress::Entered.into();
    }
    let Some(work) = item.contact_mut() else { return give_up(item, refused, context) };
    if address_change::refusals::look_up_holder(work, &refused) {
        return StepProgress::Entered.into();
    }
    let mut refused = refused;
    if refused.is_rejection() {
        match remedy::next(work, context.records, refused) {
            Ok(()) => return StepProgress::Entered.into(),
            Err(first) => refused = first,
        }
        if let Some(record) = CachedRecord::of(work, context.records, &refused) {
            work.step = Step::ConfirmExists(Box::new(record));
            return StepProgress::Entered.into();
        }
    }
    if let Some(at) = address_change::refusals::look_up_again(work, &refused, context) {
        return StepProgress::LookUpAt(at).into();
    }
    give_up(item, refused, context)
}

/// Takes the answer to a look-up of the item's contact. Without a body it was refused.
pub(in crate::lane) fn looked_up<D>(
    item: &mut WorkItem<D>,
    body: Option<&Value>,
    context: &mut StepContext<'_>,
) -> Advance {
    match address_change::look_ups::answered(item, body, context) {
        Looked::On(progress) => progress.into(),
        Looked::RefusalStands(endpoint, first) => refused(item, endpoint, first, context),
    }
}

/// Begins again without the cache if a cached record may no longer exist, or if a contact was deleted while it was
/// written. False if that is not what the refusal may mean.
fn begin_again<D>(
    item: &mut WorkItem<D>,
    endpoint: Endpoint,
    refused: &RefusedCall,
    context: &mut StepContext<'_>,
) -> bool {
    let Some(work) = item.contact() else { return false };
    let not_found = endpoint.has_record_id() && refused.says_not_found();
    if !(work.cache.relied || not_found) || work.cache.ignored || !refused.is_rejection() {
        return false;
    }
    if let Some((contact, deal)) = work.known.contact_id.zip(work.write.deal.as_ref()) {
        context.records.doubt_deal(contact, &deal.name);
    }
    let company = work.write.company.as_ref().map(|company| &*company.name);
    context.records.forget(work.write.address(), company);
    item.restart_without_cache();
    true
}

/// Goes on without a sales account or a deal that the API key has no right to write.
fn without_denied(entity: Entity) -> Advance {
    let omitted = vec![Omitted {
        entity,
        field: entity.singular().to_owned(),
        trait_path: entity.singular().to_owned(),
        why: "the API key has no right to write it".to_owned(),
    }];
    // Nothing comes after the deal.
    let progress = if entity == Entity::Deal {
        StepProgress::Finished(Outcome::Delivered)
    } else {
        StepProgress::Entered
    };
    Advance { progress, omitted, deals: Deals::ShownOrNotAsked }
}

/// The refused record exists, so the account's defaults are not for it: the refusal stands.
pub(in crate::lane) fn refused_for_good<D>(
    item: &mut WorkItem<D>,
    record: CachedRecord,
    context: &mut StepContext<'_>,
) -> Advance {
    if let Some(work) = item.contact_mut() {
        work.step = record.refused_step();
        if let Some(at) = address_change::refusals::look_up_again(work, &record.refused, context) {
            return StepProgress::LookUpAt(at).into();
        }
    }
    give_up(item, record.refused, context)
}

/// The dead letter of an event that Freshsales refuses for good.
pub(in crate::lane) fn give_up<D>(
    item: &WorkItem<D>,
    refused: RefusedCall,
    context: &mut StepContext<'_>,
) -> Advance {
    let subject = item.contact().map_or("activity", |work| work.step.subject());
    let mendable = item.contact().filter(|_| refused.may_be_mended());
    let absent = mendable.and_then(|work| remedy::absent_required_fields(work, context.records));
    let mut refusal = refused.into_refusal(subject);
    refusal.problems.extend(absent);
    StepProgress::Finished(Outcome::DeadLetter(refusal)).into()
}
