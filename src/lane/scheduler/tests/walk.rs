//! The plain way to find what waits: to look at all of it anew. In tests every plan is compared with it, so whatever random
//! traffic they make shows whether the agenda forgets anything.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{DealIdentity, Links};
use crate::freshsales::{BudgetKind, Identifier};
use crate::lane::contact::activity;
use crate::lane::contact::bulk::MOST_RECORDS;
use crate::lane::contact::bulk::eligible::{Circumstances, NextCall, SharedCall, company_of};
use crate::lane::contact::bulk::features::{BulkFeature, FeatureState};
use crate::lane::contact::cache::identities::IdentityCache;
use crate::lane::contact::cache::records::{RecordCache, fingerprint};
use crate::lane::contact::contact_work::{ContactWork, DealId};
use crate::lane::contact::held::{HeldContact, HeldEvent};
use crate::lane::contact::step::Step;
use crate::lane::contact::tags;
use crate::lane::scheduler::Scheduler;
use crate::lane::scheduler::planning::agenda::older;
use crate::lane::scheduler::planning::order::{Waiting, Wake};
use crate::lane::scheduler::steps::uncounted;
use crate::mapping::Identity;
use crate::schema::Entity;
use tokio::time::Instant;

/// With more events looking at all of them takes too long.
const MOST: usize = 300;

/// Compares what the agenda shows with what looking at everything does.
pub(in crate::lane::scheduler) fn compare<D>(scheduler: &mut Scheduler<D>, now: Instant) {
    if scheduler.len() <= MOST {
        uncounted(|| compare_all(scheduler, now));
    }
}

fn compare_all<D>(scheduler: &mut Scheduler<D>, now: Instant) {
    let reports = oldest(scheduler, BudgetKind::Tracking);
    assert_eq!(scheduler.agenda.first_report(), reports, "the oldest report");
    let has_api_work = oldest(scheduler, BudgetKind::Api).is_some();
    assert_eq!(scheduler.agenda.has_api_work(), has_api_work, "work for the API");
    let (mut wake, mut by_walking) = (Wake::default(), Wake::default());
    let expected = groups(scheduler, now, &mut by_walking);
    let shown = scheduler.groups(now, &mut wake);
    let shown = shown.iter().map(|group| match group.together {
        // Of those that go alone only the first is asked for.
        None => (None, group.first().into_iter().collect()),
        Some(together) => {
            assert_eq!(group.members().first().copied(), group.first());
            assert_eq!(group.members().len(), group.len().min(MOST_RECORDS));
            (Some(together), group.members())
        }
    });
    assert_eq!(shown.collect::<Vec<_>>(), expected, "the groups");
    assert_eq!(wake.at(), by_walking.at(), "when to look again");
}

fn budget_of(event: &HeldEvent, identities: &IdentityCache) -> BudgetKind {
    match activity::identity(event) {
        None => BudgetKind::Api,
        Some(Identity::UserId(user_id)) if identities.needs_look_up(user_id) => BudgetKind::Api,
        Some(Identity::UserId(_) | Identity::Email(_)) => BudgetKind::Tracking,
    }
}

fn oldest<D>(scheduler: &Scheduler<D>, budget: BudgetKind) -> Option<Waiting> {
    let Scheduler { items, window, identities, .. } = scheduler;
    let item_budget = |item: &u64| {
        let first = items.get(*item)?.events.first();
        first.map(|(_, open)| budget_of(&open.event, identities))
    };
    let item = items.idle().find(|item| item_budget(item) == Some(budget));
    let mut events = window.ready().filter(|(_, open)| budget_of(&open.event, identities) == budget);
    older(item, events.next().map(|(number, _)| number))
}

type WalkedGroup = (Option<SharedCall>, Vec<Waiting>);

fn groups<D>(scheduler: &mut Scheduler<D>, now: Instant, wake: &mut Wake) -> Vec<WalkedGroup> {
    let links_on_trial = scheduler.circumstances(now).links_on_trial;
    let Scheduler { settings, items, window, locks, records, identities, bulk: policy, features, .. } =
        scheduler;
    let (links, deal_identity) = (settings.records.links, settings.records.deal_identity);
    let circumstances = Circumstances { policy, features, links, deal_identity, links_on_trial, now };
    let mut walk = Walk { records, circumstances };
    let mut groups: BTreeMap<Option<SharedCall>, Vec<Waiting>> = BTreeMap::new();
    let mut add = |together: Option<SharedCall>, waiting: Waiting| {
        let group = groups.entry(together).or_default();
        if group.len() < MOST_RECORDS {
            group.push(waiting);
        }
    };
    // Of several contacts of one sales account one writes it, and the others find it written.
    let mut companies = BTreeSet::new();
    for number in items.idle() {
        let Some(item) = items.get(number) else { continue };
        let budget = item.events.first().map(|(_, open)| budget_of(&open.event, identities));
        if budget != Some(BudgetKind::Api) {
            continue;
        }
        let not_before = item.contact().and_then(|work| work.search.not_before());
        if let Some(at) = not_before.filter(|at| now < *at) {
            wake.no_later_than(at);
            continue;
        }
        match item.contact().map_or(NextCall::Alone, |work| walk.of_work(work)) {
            NextCall::Alone => add(None, Waiting::WorkItem(number)),
            NextCall::Together(together) => add(Some(together), Waiting::WorkItem(number)),
            NextCall::Later => {}
        }
    }
    for (number, open) in window.ready() {
        if budget_of(&open.event, identities) != BudgetKind::Api {
            continue;
        }
        match walk.of_event(&open.event) {
            NextCall::Alone => add(None, Waiting::Event(number)),
            NextCall::Together(together) => {
                let company =
                    company_of(&open.event).filter(|_| together == SharedCall::Write(Entity::SalesAccount));
                let first = company.is_none_or(|company| {
                    let record = (Entity::SalesAccount, company);
                    !locks.is_held(&record) && companies.insert(record.1)
                });
                if first {
                    add(Some(together), Waiting::Event(number));
                }
            }
            NextCall::Later => {}
        }
    }
    let groups = groups.into_iter().map(|(together, mut waiting)| {
        waiting.sort_by_key(|waiting| waiting.number());
        if together.is_none() {
            waiting.truncate(1);
        }
        (together, waiting)
    });
    let mut groups: Vec<WalkedGroup> = groups.collect();
    groups.sort_by_key(|(_, waiting)| waiting.first().map(|waiting| waiting.number()));
    groups
}

struct Walk<'a> {
    records: &'a mut RecordCache,
    circumstances: Circumstances<'a>,
}

struct Contact<'a> {
    write: &'a HeldContact,
    account: Option<i64>,
    work: Option<&'a ContactWork>,
}

impl Walk<'_> {
    fn of_work(&mut self, work: &ContactWork) -> NextCall {
        if work.singly {
            return NextCall::Alone;
        }
        match &work.step {
            Step::FindId(entity) => NextCall::Together(SharedCall::FindIds(*entity)),
            Step::Company => self.of_company(&work.write, work.cache.ignored),
            Step::Contact => self.of_contact(&Contact {
                write: &work.write,
                account: work.known.account_id,
                work: Some(work),
            }),
            Step::Deal => self.of_deal(work),
            Step::FindContact
            | Step::FindHolder
            | Step::ReadEmails
            | Step::Update
            | Step::FindOwner
            | Step::ReadLinks
            | Step::Link(_)
            | Step::FindDeal
            | Step::ReadTags(_)
            | Step::Tags(_)
            | Step::ConfirmExists(_) => NextCall::Alone,
        }
    }

    fn of_event(&mut self, event: &HeldEvent) -> NextCall {
        let HeldEvent::Contact(write) = event else { return NextCall::Alone };
        if write.email.is_none() {
            return NextCall::Alone;
        }
        let Some(company) = &write.company else {
            return self.of_contact(&Contact { write, account: None, work: None });
        };
        let known = self.records.account(&company.name);
        match known.filter(|known| known.written == Some(fingerprint(&company.record))) {
            Some(known) => self.of_contact(&Contact { write, account: Some(known.id), work: None }),
            None => self.of_company(write, false),
        }
    }

    fn of_company(&mut self, write: &HeldContact, ignores_cache: bool) -> NextCall {
        let Some(company) = &write.company else { return NextCall::Alone };
        let account = self.records.account(&company.name);
        let finds_id = account.is_some() || self.may_use(BulkFeature::SalesAccountSearch);
        let id = account.map(|account| account.id);
        let fits = !ignores_cache
            && finds_id
            && tags::are_known(&company.record, Entity::SalesAccount, id, self.records);
        self.written_together(Entity::SalesAccount, fits)
    }

    fn of_contact(&mut self, contact: &Contact<'_>) -> NextCall {
        let Contact { write, account, work } = *contact;
        let ignores_cache = work.is_some_and(|work| work.cache.ignored);
        let id =
            work.and_then(|work| work.known.contact_id).or_else(|| self.records.contact_id(write.address()));
        let id = id.filter(|_| !ignores_cache);
        if !tags::are_known(&write.record, Entity::Contact, id, self.records) {
            return NextCall::Alone;
        }
        let searched = work.and_then(|work| work.search.links.as_ref());
        let links_known = match (&write.company, account) {
            (None, _) => true,
            (Some(_), Some(account)) => {
                !ignores_cache && (self.records.linked(write.address(), account) || searched.is_some())
            }
            (Some(_), None) => return NextCall::Alone,
        };
        if links_known && self.knows_deal(contact, id) {
            let adds_link = work.is_some_and(ContactWork::adds_link);
            return match self.circumstances.features.state(BulkFeature::LinksInBulk) {
                FeatureState::Unknown if adds_link && self.circumstances.links_on_trial => NextCall::Later,
                FeatureState::Fails if adds_link => NextCall::Alone,
                FeatureState::Unknown | FeatureState::Works | FeatureState::Fails => {
                    self.written_together(Entity::Contact, true)
                }
            };
        }
        let writes_links = links_known || self.may_use(BulkFeature::LinksInBulk);
        let may_search = self.may_use(BulkFeature::ContactSearch) && writes_links;
        let allowed = self.circumstances.policy.allows(Entity::Contact, self.circumstances.now);
        if may_search && searched.is_none() && !ignores_cache && allowed {
            return NextCall::Together(SharedCall::ReadContacts);
        }
        self.written_together(Entity::Contact, links_known && id.is_some())
    }

    fn knows_deal(&mut self, contact: &Contact<'_>, id: Option<i64>) -> bool {
        let Some(deal) = &contact.write.deal else { return true };
        if contact.work.is_some_and(|work| work.search.is_new) {
            return true;
        }
        let Some(id) = id else { return false };
        let shown = contact
            .work
            .is_some_and(|work| work.known.deal != DealId::Unknown || work.search.links.is_some());
        match self.circumstances.deal_identity {
            DealIdentity::Name => true,
            DealIdentity::Contact => {
                shown
                    || self.records.deal(id, &deal.name).is_some()
                    || self.circumstances.features.state(BulkFeature::DealsInSearch) == FeatureState::Fails
            }
        }
    }

    fn of_deal(&mut self, work: &ContactWork) -> NextCall {
        let Some((_, identifier)) = work.identifier() else { return NextCall::Alone };
        let Some(deal) = &work.write.deal else { return NextCall::Alone };
        let id = match identifier {
            Identifier::Id(id) => Some(id),
            Identifier::Text(_) => None,
        };
        let fits = tags::are_known(&deal.record, Entity::Deal, id, self.records);
        self.written_together(Entity::Deal, fits)
    }

    fn written_together(&self, entity: Entity, fits: bool) -> NextCall {
        if fits && self.circumstances.policy.allows(entity, self.circumstances.now) {
            NextCall::Together(SharedCall::Write(entity))
        } else {
            NextCall::Alone
        }
    }

    fn may_use(&self, feature: BulkFeature) -> bool {
        self.circumstances.links == Links::Bulk && self.circumstances.features.may_be_used(feature)
    }
}
