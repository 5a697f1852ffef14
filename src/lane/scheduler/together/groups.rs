//! Sorts what waits for the API by how its next call goes. Events that wait are judged by what they hold; what is known of
//! their contacts may still change that when they become work items.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::link_trial::links_on_trial;
use crate::config::RecordChoices;
use crate::lane::contact::bulk::MOST_RECORDS;
use crate::lane::contact::bulk::eligible::{Circumstances, NextCall, SharedCall};
use crate::lane::contact::bulk::features::BulkFeature;
use crate::lane::contact::bulk::standing::FactReader;
use crate::lane::scheduler::Scheduler;
use crate::lane::scheduler::planning::agenda::{Waiters, older};
use crate::lane::scheduler::planning::order::{Waiting, Wake};
use crate::lane::scheduler::steps::step;

/// What waits and could go in one call; without `together` each goes alone.
#[derive(Debug)]
pub(in crate::lane::scheduler) struct Group<'a> {
    pub(in crate::lane::scheduler) together: Option<SharedCall>,
    waiters: Vec<&'a Waiters>,
}

impl Group<'_> {
    /// The oldest of those that could go in one call.
    pub(in crate::lane::scheduler) fn first(&self) -> Option<Waiting> {
        let item = self.waiters.iter().filter_map(|waiters| waiters.items.first()).min().copied();
        let event = self.waiters.iter().filter_map(|waiters| waiters.events.first()).min().copied();
        older(item, event.filter(|_| self.items() < MOST_RECORDS))
    }

    fn items(&self) -> usize {
        self.waiters.iter().map(|waiters| waiters.items.len()).sum()
    }

    pub(in crate::lane::scheduler) fn len(&self) -> usize {
        self.items() + self.waiters.iter().map(|waiters| waiters.events.len()).sum::<usize>()
    }

    /// Those that could go in one call, the oldest first. Work items come before events, because they are further.
    pub(in crate::lane::scheduler) fn members(&self) -> Vec<Waiting> {
        let items = self.waiters.iter().flat_map(|waiters| waiters.items.iter().take(MOST_RECORDS));
        let items = oldest(items.inspect(|_| step()).copied().collect(), MOST_RECORDS);
        let room = MOST_RECORDS - items.len();
        let events = self.waiters.iter().flat_map(|waiters| waiters.events.iter().take(room));
        let events = oldest(events.inspect(|_| step()).copied().collect(), room);
        let items = items.into_iter().map(Waiting::WorkItem);
        let mut members: Vec<Waiting> = items.chain(events.into_iter().map(Waiting::Event)).collect();
        members.sort_by_key(|waiting| waiting.number());
        members
    }
}

fn oldest(mut numbers: Vec<u64>, most: usize) -> Vec<u64> {
    numbers.sort_unstable();
    numbers.truncate(most);
    numbers
}

impl<D> Scheduler<D> {
    /// The groups of what waits, the one with the oldest first.
    pub(in crate::lane::scheduler) fn groups(&self, now: Instant, wake: &mut Wake) -> Vec<Group<'_>> {
        let circumstances = self.circumstances(now);
        let mut groups: BTreeMap<Option<SharedCall>, Vec<&Waiters>> = BTreeMap::new();
        for (standing, waiters) in self.agenda.classes() {
            match circumstances.next_call(standing) {
                NextCall::Alone => groups.entry(None).or_default().push(waiters),
                NextCall::Together(together) => groups.entry(Some(together)).or_default().push(waiters),
                NextCall::Later => {}
            }
        }
        if let Some(at) = self.agenda.next_wake() {
            wake.no_later_than(at);
        }
        let groups = groups.into_iter().map(|(together, waiters)| Group { together, waiters });
        let mut groups: Vec<Group<'_>> = groups.collect();
        groups.sort_by_key(|group| group.first().map(Waiting::number));
        groups
    }

    /// Those of the work items that go in this call now.
    pub(super) fn fitting(&mut self, together: SharedCall, items: Vec<u64>, now: Instant) -> Vec<u64> {
        let standings = items.into_iter().filter(|item| self.items.is_idle(*item)).filter_map(|item| {
            let mut reader = FactReader::new(&mut self.records);
            Some((item, reader.of_work(self.items.contact(item)?)))
        });
        let standings: Vec<_> = standings.collect();
        let circumstances = self.circumstances(now);
        let fits = |standing| circumstances.next_call(standing) == NextCall::Together(together);
        standings.into_iter().filter(|(_, standing)| fits(*standing)).map(|(item, _)| item).collect()
    }

    /// What decides how calls go now.
    pub(in crate::lane::scheduler) fn circumstances(&self, now: Instant) -> Circumstances<'_> {
        let Self { settings, calls, items, bulk: policy, features, .. } = self;
        let links_on_trial = links_on_trial(calls, items, features.state(BulkFeature::LinksInBulk));
        let RecordChoices { links, deal_identity, .. } = settings.records;
        Circumstances { policy, features, links, deal_identity, links_on_trial, now }
    }
}
