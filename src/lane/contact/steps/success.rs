//! The way of a step whose call was accepted.

use serde_json::Value;

use super::{Advance, Deals, StepContext, StepProgress};
use crate::freshsales::{Endpoint, SalesAccountLink, custom_fields, linked_accounts, record_id};
use crate::lane::contact::address_change;
use crate::lane::contact::cache::records::{CachedAccount, fingerprint};
use crate::lane::contact::contact_work::{ContactWork, DealId};
use crate::lane::contact::remedy;
use crate::lane::contact::step::{Step, Tagging};
use crate::lane::contact::steps::refusal;
use crate::lane::contact::tags::{self, Comparison};
use crate::lane::contact::work_item::WorkItem;
use crate::outcome::Outcome;
use crate::schema::Entity;

/// Takes the answer to the item's step. `body` is null for a record that a job's report does not name: bulk calls only
/// write records that need nothing from the answer.
pub(in crate::lane) fn succeeded<D>(
    item: &mut WorkItem<D>,
    endpoint: Endpoint,
    body: &Value,
    context: &mut StepContext<'_>,
) -> Advance {
    let Some(work) = item.contact_mut() else { return StepProgress::Finished(Outcome::Delivered).into() };
    if endpoint == Endpoint::Lookup {
        return refusal::looked_up(item, Some(body), context);
    }
    if work.step == Step::ReadEmails {
        return address_change::look_ups::emails_read(item, body, context).into();
    }
    if let Step::ConfirmExists(record) = &work.step {
        let record = record.clone();
        if !record.is_deleted(body) {
            return refusal::refused_for_good(item, *record, context);
        }
        let company = work.write.company.as_ref().map(|company| company.name.clone());
        context.records.forget(work.write.address(), company.as_deref());
        item.restart_without_cache();
        return StepProgress::Entered.into();
    }
    if endpoint == Endpoint::DealRead && work.step == Step::Deal {
        work.custom_fields = Some(custom_fields(body).unwrap_or_default());
        return StepProgress::OneMoreCall.into();
    }
    written_or_read(work, body, context)
}

fn written_or_read(work: &mut ContactWork, body: &Value, context: &mut StepContext<'_>) -> Advance {
    let mut omitted: Vec<_> = remedy::left_out(work).into_iter().collect();
    let mut deals = Deals::ShownOrNotAsked;
    let next = match work.step.clone() {
        Step::Company => company_written(work, body, context),
        Step::Contact | Step::Update => contact_written(work, body, context),
        Step::ReadLinks => links_known(work, linked_accounts(body), context),
        Step::Link(links) => {
            if let Some(contact) = work.contact_id {
                context.records.learn_contact(work.write.address(), contact, Some(&links));
            }
            work.toward_deal(context.deal_identity, context.records)
        }
        Step::FindDeal => {
            if !work.find_deal(body) {
                deals = Deals::NotShown;
                work.deal = DealId::New;
            }
            Some(Step::Deal)
        }
        Step::Deal => {
            deal_written(work, body, context);
            None
        }
        Step::ReadTags(tagging) => match tagging.compare(body) {
            Comparison::Missing(tagging) => Some(Step::Tags(tagging)),
            Comparison::Complete => after_tags(tagging, context),
            Comparison::NotShown => {
                omitted.push(tags::left_out(&tagging));
                tagging.then.map(|then| *then)
            }
        },
        Step::Tags(tagging) => after_tags(tagging, context),
        Step::FindContact
        | Step::FindHolder
        | Step::ReadEmails
        | Step::FindOwner
        | Step::ConfirmExists(_) => None,
    };
    let progress = match tags::then_tags(work, body, next, context.records) {
        Some(step) => {
            work.step = step;
            work.trial = None;
            StepProgress::Entered
        }
        None => StepProgress::Finished(Outcome::Delivered),
    };
    Advance { progress, omitted, deals }
}

fn company_written(work: &mut ContactWork, body: &Value, context: &mut StepContext<'_>) -> Option<Step> {
    let company = work.write.company.as_ref()?;
    let cached = context.records.account(&company.name).map(|account| account.id);
    let id = record_id(body, Entity::SalesAccount.singular()).or(work.account_id).or(cached);
    if let Some(id) = id {
        let written = Some(fingerprint(&company.record));
        context.records.learn_account(&company.name, CachedAccount { id, written });
    }
    work.account_id = id;
    Some(Step::Contact)
}

fn contact_written(work: &mut ContactWork, body: &Value, context: &mut StepContext<'_>) -> Option<Step> {
    let email = work.write.address().to_owned();
    let links = linked_accounts(body);
    let id = record_id(body, Entity::Contact.singular());
    if let Some(id) = id {
        work.contact_id = Some(id);
        context.records.learn_contact(&email, id, links.as_deref());
    } else {
        // A contact goes in bulk only if it is linked already, under a cached id.
        work.relied_on_cache = true;
    }
    work.find_deal(body);
    if work.deal == DealId::New {
        // The deals were not asked for here, so that none is shown proves nothing.
        work.deal = DealId::Unknown;
    }
    if id.is_none() {
        return work.toward_deal(context.deal_identity, context.records);
    }
    match (work.account_id, &links) {
        (Some(account), None) if !context.records.linked(&email, account) => Some(Step::ReadLinks),
        (None | Some(_), None | Some(_)) => links_known(work, links, context),
    }
}

/// The contact's links were shown, or are not needed: links the sales account if it is missing.
fn links_known(
    work: &mut ContactWork,
    links: Option<Vec<SalesAccountLink>>,
    context: &mut StepContext<'_>,
) -> Option<Step> {
    match (work.account_id, links) {
        (Some(account), Some(links)) if !links.iter().any(|link| link.id == account) => {
            Some(Step::Link(with_link(links, account)))
        }
        (None | Some(_), None | Some(_)) => work.toward_deal(context.deal_identity, context.records),
    }
}

/// The old links and one more: Freshsales replaces the whole set, and wants exactly one primary.
pub(in crate::lane) fn with_link(mut links: Vec<SalesAccountLink>, account: i64) -> Vec<SalesAccountLink> {
    let primary = !links.iter().any(|link| link.primary);
    links.push(SalesAccountLink { id: account, primary });
    links
}

fn deal_written(work: &ContactWork, body: &Value, context: &mut StepContext<'_>) {
    let id = match work.deal {
        DealId::Known(id) => Some(id),
        DealId::New => record_id(body, Entity::Deal.singular()),
        DealId::ByName | DealId::Unknown => None,
    };
    if let (Some(contact), Some(deal), Some(id)) = (work.contact_id, &work.write.deal, id) {
        context.records.learn_deal(contact, &deal.name, id);
    }
}

fn after_tags(tagging: Tagging, context: &mut StepContext<'_>) -> Option<Step> {
    context.records.learn_tags(tagging.entity, tagging.id, &tagging.tags);
    tagging.then.map(|then| *then)
}
