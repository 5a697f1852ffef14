//! Sorts what waits for the API by how its next call goes. Events that wait are judged by what they hold; what is known of
//! their contacts may still change that when they become work items.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::link_trial::links_on_trial;
use crate::freshsales::BudgetKind;
use crate::lane::contact::bulk::MOST_RECORDS;
use crate::lane::contact::bulk::eligible::{Circumstances, NextCall, SharedCall, company_of};
use crate::lane::contact::bulk::features::{BulkFeature, BulkFeatures};
use crate::lane::contact::bulk::policy::BulkPolicy;
use crate::lane::contact::cache::records::RecordCache;
use crate::lane::scheduler::call_table::CallTable;
use crate::lane::scheduler::order::Wake;
use crate::lane::scheduler::pick::budget_of;
use crate::lane::scheduler::work_items::WorkItems;
use crate::lane::scheduler::{Scheduler, SchedulerSettings};
use crate::schema::Entity;

/// Something that waits for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    WorkItem(u64),
    /// An event in the window.
    Event(u64),
}

impl Waiting {
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::WorkItem(number) | Self::Event(number) => number,
        }
    }
}

/// What waits and could go in one call, the oldest first; without `together` each goes alone.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) together: Option<SharedCall>,
    pub(super) waiting: Vec<Waiting>,
}

impl<D> Scheduler<D> {
    /// The groups of what waits, the one with the oldest first.
    pub(super) fn groups(&mut self, now: Instant, wake: &mut Wake) -> Vec<Group> {
        let mut groups: BTreeMap<Option<SharedCall>, Vec<Waiting>> = BTreeMap::new();
        let mut add = |together: Option<SharedCall>, waiting: Waiting| {
            let group = groups.entry(together).or_default();
            if group.len() < MOST_RECORDS {
                group.push(waiting);
            }
        };
        let Self { settings, calls, items, records, bulk, features, .. } = self;
        let mut circumstances = circumstances(settings, calls, items, records, bulk, features, now);
        // Of several contacts of one sales account one writes it, and the others find it written.
        let mut companies = BTreeSet::new();
        for number in items.idle() {
            let Some(item) = items.get(number) else { continue };
            let budget = item.events.first().map(|(_, open)| budget_of(&open.event, &self.identities));
            if budget != Some(BudgetKind::Api) {
                continue;
            }
            let not_before = item.contact().and_then(|work| work.search.not_before());
            if let Some(at) = not_before.filter(|at| now < *at) {
                wake.no_later_than(at);
                continue;
            }
            match item.contact().map_or(NextCall::Alone, |work| circumstances.of_work(work)) {
                NextCall::Alone => add(None, Waiting::WorkItem(number)),
                NextCall::Together(together) => add(Some(together), Waiting::WorkItem(number)),
                NextCall::Later => {}
            }
        }
        for (number, open) in self.window.ready() {
            if budget_of(&open.event, &self.identities) != BudgetKind::Api {
                continue;
            }
            match circumstances.of_event(&open.event) {
                NextCall::Alone => add(None, Waiting::Event(number)),
                NextCall::Together(together) => {
                    let company = company_of(&open.event)
                        .filter(|_| together == SharedCall::Write(Entity::SalesAccount));
                    let first = company.is_none_or(|company| {
                        let record = (Entity::SalesAccount, company);
                        !self.locks.is_held(&record) && companies.insert(record.1)
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
            Group { together, waiting }
        });
        let mut groups: Vec<Group> = groups.collect();
        groups.sort_by_key(|group| group.waiting.first().map(|waiting| waiting.number()));
        groups
    }

    /// Those of the work items that go in this call now.
    pub(super) fn fitting(&mut self, together: SharedCall, items: Vec<u64>, now: Instant) -> Vec<u64> {
        let Self { settings, calls, items: all, records, bulk, features, .. } = self;
        let mut circumstances = circumstances(settings, calls, all, records, bulk, features, now);
        let fits = |item: &u64| {
            let next = all.contact(*item).map(|work| circumstances.of_work(work));
            all.is_idle(*item) && next == Some(NextCall::Together(together))
        };
        items.into_iter().filter(fits).collect()
    }
}

/// What decides how calls go now.
fn circumstances<'a, D>(
    settings: &SchedulerSettings,
    calls: &CallTable,
    items: &WorkItems<D>,
    records: &'a mut RecordCache,
    policy: &'a BulkPolicy,
    features: &'a BulkFeatures,
    now: Instant,
) -> Circumstances<'a> {
    let links_on_trial = links_on_trial(calls, items, features.state(BulkFeature::LinksInBulk));
    let SchedulerSettings { links, deal_identity, .. } = *settings;
    Circumstances { records, policy, features, links, deal_identity, links_on_trial, now }
}
