//! The way of a step whose call was accepted.

use serde_json::Value;
use tokio::time::Instant;

use super::{Advance, Deals, StepContext, StepProgress};
use crate::freshsales::{ContactRow, Endpoint, SalesAccountLink, custom_fields, linked_accounts, record_id};
use crate::lane::contact::address_change;
use crate::lane::contact::bulk::searching::IdSearch;
use crate::lane::contact::cache::records::{CachedAccount, fingerprint};
use crate::lane::contact::contact_work::{ContactWork, DealId};
use crate::lane::contact::refused::remedy;
use crate::lane::contact::step::{Step, Tagging};
use crate::lane::contact::steps::refusal;
use crate::lane::contact::tags::{self, Comparison};
use crate::lane::contact::work_item::WorkItem;
use crate::outcome::Outcome;
use crate::schema::Entity;

/// Takes the answer to the item's step. `body` is null for a record that was written in bulk: a job's report names no ids.
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
        work.known.deal_custom_fields = Some(custom_fields(body).unwrap_or_default());
        return StepProgress::OneMoreCall.into();
    }
    written_or_read(work, body, context)
}

fn written_or_read(work: &mut ContactWork, body: &Value, context: &mut StepContext<'_>) -> Advance {
    let mut omitted: Vec<_> = remedy::left_out(work).into_iter().collect();
    let mut deals = Deals::ShownOrNotAsked;
    let next = match work.step.clone() {
        Step::Company => company_written(work, body, context),
        Step::Contact if body.is_null() => contact_written_in_bulk(work, context),
        Step::Contact | Step::Update => contact_written(work, body, context),
        Step::ReadLinks => links_known(work, linked_accounts(body), context),
        Step::Link(links) => {
            if let Some(contact) = work.known.contact_id {
                let times = context.times();
                context.records.learn_contact(work.write.address(), contact, Some(&links), times);
            }
            work.toward_deal(context.deal_identity, context.records)
        }
        Step::FindDeal => {
            if !work.find_deal(body) {
                deals = Deals::NotShown;
                work.known.deal = DealId::New;
            }
            work.remember_deal(context.records);
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
        | Step::FindId(_)
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
    let id = record_id(body, Entity::SalesAccount.singular()).or(work.known.account_id).or(cached);
    let Some(id) = id else {
        work.search.for_id = Some(IdSearch::new(context.now, context.usual_search_wait));
        return Some(Step::FindId(Entity::SalesAccount));
    };
    account_known(work, id, context);
    Some(Step::Contact)
}

fn account_known(work: &mut ContactWork, id: i64, context: &mut StepContext<'_>) {
    if let Some(company) = &work.write.company {
        let written = Some(fingerprint(&company.record));
        context.records.learn_account(&company.name, CachedAccount { id, written });
    }
    work.known.account_id = Some(id);
    work.search.for_id = None;
}

/// A search has found the id of the sales account that was written in bulk.
pub(in crate::lane) fn account_found<D>(
    item: &mut WorkItem<D>,
    id: i64,
    context: &mut StepContext<'_>,
) -> Advance {
    if let Some(work) = item.contact_mut() {
        account_known(work, id, context);
        work.step = Step::Contact;
    }
    StepProgress::Entered.into()
}

/// A search has found the contact that was written in bulk.
pub(in crate::lane) fn contact_found<D>(
    item: &mut WorkItem<D>,
    row: &ContactRow,
    seen_since: Instant,
    context: &mut StepContext<'_>,
) -> Advance {
    let Some(work) = item.contact_mut() else { return StepProgress::Finished(Outcome::Delivered).into() };
    work.known.contact_id = Some(row.id);
    work.search.for_id = None;
    let links = row.links.as_deref().unwrap_or_default();
    context.records.contacts.learn_found(work.write.address(), row.id, links, seen_since);
    work.show_deals(row);
    enter(work.toward_deal(context.deal_identity, context.records), work)
}

fn enter(step: Option<Step>, work: &mut ContactWork) -> Advance {
    let Some(step) = step else { return StepProgress::Finished(Outcome::Delivered).into() };
    work.step = step;
    work.trial = None;
    StepProgress::Entered.into()
}

fn contact_written_in_bulk(work: &mut ContactWork, context: &mut StepContext<'_>) -> Option<Step> {
    if let Some(links) = work.links_to_write() {
        for email in [work.write.address().to_owned()].into_iter().chain(work.write.listed_addresses()) {
            let times = context.times();
            context.records.contacts.learn_links(&email, work.known.contact_id, &links, times);
        }
    }
    // What was read before it was written is used up.
    let is_new = std::mem::take(&mut work.search).is_new;
    work.cache.relied = true;
    if is_new && work.known.contact_id.is_none() && work.write.deal.is_some() {
        work.search.for_id = Some(IdSearch::new(context.now, context.usual_search_wait));
        return Some(Step::FindId(Entity::Contact));
    }
    work.toward_deal(context.deal_identity, context.records)
}

fn contact_written(work: &mut ContactWork, body: &Value, context: &mut StepContext<'_>) -> Option<Step> {
    let email = work.write.address().to_owned();
    let links = linked_accounts(body);
    let id = record_id(body, Entity::Contact.singular());
    if let Some(id) = id {
        work.known.contact_id = Some(id);
        let times = context.times();
        for address in [email.clone()].into_iter().chain(work.write.listed_addresses()) {
            context.records.learn_contact(&address, id, links.as_deref(), times);
        }
    }
    work.find_deal(body);
    if work.known.deal == DealId::New {
        // The deals were not asked for here, so that none is shown proves nothing.
        work.known.deal = DealId::Unknown;
    }
    if id.is_none() {
        return work.toward_deal(context.deal_identity, context.records);
    }
    match (work.known.account_id, &links) {
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
    match (work.known.account_id, links) {
        (Some(account), Some(links)) if !links.iter().any(|link| link.id == account) => {
            // Another event may have written the contact under another address meanwhile.
            let (email, times) = (work.write.address(), context.times());
            let links = context.records.contacts.with_recent(email, work.known.contact_id, &links, times);
            Some(Step::Link(links.with(account)))
        }
        (None | Some(_), None | Some(_)) => work.toward_deal(context.deal_identity, context.records),
    }
}

fn deal_written(work: &ContactWork, body: &Value, context: &mut StepContext<'_>) {
    let id = match work.known.deal {
        DealId::Known(id) => Some(id),
        DealId::New => record_id(body, Entity::Deal.singular()),
        DealId::ByName | DealId::Unknown => None,
    };
    if let (Some(contact), Some(deal), Some(id)) = (work.known.contact_id, &work.write.deal, id) {
        context.records.learn_deal(contact, &deal.name, id);
    }
}

fn after_tags(tagging: Tagging, context: &mut StepContext<'_>) -> Option<Step> {
    context.records.learn_tags(tagging.entity, tagging.id, &tagging.tags);
    tagging.then.map(|then| *then)
}
