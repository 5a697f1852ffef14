//! Everything that waits for a call, sorted by what its next call depends on, so that planning looks at heads of queues and
//! not at all that waits. The [`filing`](super::filing) keeps it up to date.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use super::order::Waiting;
use crate::lane::contact::bulk::standing::{CallStanding, CompanyStanding};
use crate::lane::contact::cache::fact::FactKey;
use crate::lane::scheduler::steps::step;

#[derive(Debug, Default)]
pub(in crate::lane::scheduler) struct Agenda {
    filed: HashMap<u64, Filing>,
    /// What can be reported, by the tracking budget.
    reports: Waiters,
    /// What waits for the API. Of the events that would write one sales account only the oldest of
    /// each standing is here.
    classes: BTreeMap<CallStanding, Waiters>,
    companies: HashMap<u128, CompanyQueue>,
    /// Work items that wait for the API until a time.
    asleep: BTreeSet<(Instant, u64)>,
    /// What has another standing from a time on.
    turning: BTreeSet<(Instant, u64)>,
    /// Who must be looked at again when a fact changes.
    relying: BTreeSet<(FactKey, u64)>,
    now: Option<Instant>,
    /// What must be looked at again; room for the [`filing`](super::filing), which empties it.
    pub(in crate::lane::scheduler) unfiled: Vec<u64>,
}

/// Work items and events of one standing, each by its number.
#[derive(Debug, Default)]
pub(in crate::lane::scheduler) struct Waiters {
    pub(in crate::lane::scheduler) items: BTreeSet<u64>,
    pub(in crate::lane::scheduler) events: BTreeSet<u64>,
}

/// The events that would write one sales account, by standing; `held` is that of all of them.
#[derive(Debug, Default)]
struct CompanyQueue {
    held: bool,
    lines: BTreeMap<CompanyStanding, BTreeSet<u64>>,
}

/// What waits, and where.
#[derive(Debug)]
pub(in crate::lane::scheduler) struct Filing {
    pub(in crate::lane::scheduler) waiting: Waiting,
    pub(in crate::lane::scheduler) place: AgendaPlace,
    pub(in crate::lane::scheduler) not_before: Option<Instant>,
    /// It must be looked at again then.
    pub(in crate::lane::scheduler) turns_at: Option<Instant>,
    /// The facts that its place was found by.
    pub(in crate::lane::scheduler) facts: Vec<FactKey>,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::lane::scheduler) enum AgendaPlace {
    Report,
    Api(CallStanding),
    /// An event that would write the sales account of this digest.
    Company(u128, CompanyStanding),
}

impl Waiters {
    /// The oldest of all.
    pub(in crate::lane::scheduler) fn first(&self) -> Option<Waiting> {
        older(self.items.first().copied(), self.events.first().copied())
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.events.is_empty()
    }

    fn insert(&mut self, waiting: Waiting) {
        match waiting {
            Waiting::WorkItem(number) => self.items.insert(number),
            Waiting::Event(number) => self.events.insert(number),
        };
    }

    fn remove(&mut self, waiting: Waiting) {
        match waiting {
            Waiting::WorkItem(number) => self.items.remove(&number),
            Waiting::Event(number) => self.events.remove(&number),
        };
    }
}

pub(in crate::lane::scheduler) fn older(item: Option<u64>, event: Option<u64>) -> Option<Waiting> {
    match (item, event) {
        (Some(item), Some(event)) if event < item => Some(Waiting::Event(event)),
        (Some(item), _) => Some(Waiting::WorkItem(item)),
        (None, event) => event.map(Waiting::Event),
    }
}

impl Agenda {
    pub(in crate::lane::scheduler) fn tick(&mut self, now: Instant) {
        self.now = Some(now);
        let until = ..=(now, u64::MAX);
        let due = self.asleep.range(until).chain(self.turning.range(until));
        self.unfiled.extend(due.map(|(_, number)| *number));
    }

    /// What must be looked at again because a fact has changed.
    pub(in crate::lane::scheduler) fn relying_on(&self, fact: FactKey) -> impl Iterator<Item = u64> {
        self.relying.range((fact, 0)..=(fact, u64::MAX)).inspect(|_| step()).map(|(_, number)| *number)
    }

    pub(in crate::lane::scheduler) fn has_api_work(&self) -> bool {
        self.filed.len() > self.reports.items.len() + self.reports.events.len()
    }

    pub(in crate::lane::scheduler) fn first_report(&self) -> Option<Waiting> {
        self.reports.first()
    }

    /// What waits for the API and may be looked at now, by its standing.
    pub(in crate::lane::scheduler) fn classes(&self) -> impl Iterator<Item = (CallStanding, &Waiters)> {
        self.classes.iter().inspect(|_| step()).map(|(standing, waiters)| (*standing, waiters))
    }

    /// When the first work item may be looked at that may not be now.
    pub(in crate::lane::scheduler) fn next_wake(&self) -> Option<Instant> {
        self.asleep.first().map(|(at, _)| *at)
    }

    /// This is where the work of the number waits now, if it waits.
    pub(in crate::lane::scheduler) fn file(&mut self, number: u64, filing: Option<Filing>) {
        step();
        if let Some(old) = self.filed.remove(&number) {
            for fact in &old.facts {
                self.relying.remove(&(*fact, number));
            }
            if let Some(at) = old.turns_at {
                self.turning.remove(&(at, number));
            }
            if !old.not_before.is_some_and(|at| self.asleep.remove(&(at, number))) {
                self.take_out(&old);
            }
        }
        let Some(filing) = filing else { return };
        self.relying.extend(filing.facts.iter().map(|fact| (*fact, number)));
        self.turning.extend(filing.turns_at.map(|at| (at, number)));
        match filing.not_before.filter(|at| self.now.is_none_or(|now| now < *at)) {
            Some(at) => {
                self.asleep.insert((at, number));
            }
            None => self.put_in(&filing),
        }
        self.filed.insert(number, filing);
    }

    /// The sales account is written by a work item now, or no longer.
    pub(in crate::lane::scheduler) fn hold_company(&mut self, company: u128, held: bool) {
        let Some(queue) = self.companies.get_mut(&company) else { return };
        for (standing, line) in &queue.lines {
            if let Some(first) = line.first().copied().map(Waiting::Event) {
                remove(&mut self.classes, queue.class(*standing), first);
                insert(
                    &mut self.classes,
                    CallStanding::Company(CompanyStanding { held, ..*standing }),
                    first,
                );
            }
        }
        queue.held = held;
    }

    fn put_in(&mut self, filing: &Filing) {
        match filing.place {
            AgendaPlace::Report => self.reports.insert(filing.waiting),
            AgendaPlace::Api(standing) => insert(&mut self.classes, standing, filing.waiting),
            AgendaPlace::Company(company, standing) => {
                let queue = self.companies.entry(company).or_default();
                queue.held = standing.held;
                let (class, number) = (queue.class(standing), filing.waiting.number());
                let line = queue.lines.entry(CompanyStanding { held: false, ..standing }).or_default();
                let first = line.first().copied();
                line.insert(number);
                if first.is_none_or(|first| number < first) {
                    if let Some(first) = first {
                        remove(&mut self.classes, class, Waiting::Event(first));
                    }
                    insert(&mut self.classes, class, filing.waiting);
                }
            }
        }
    }

    fn take_out(&mut self, filing: &Filing) {
        match filing.place {
            AgendaPlace::Report => self.reports.remove(filing.waiting),
            AgendaPlace::Api(standing) => remove(&mut self.classes, standing, filing.waiting),
            AgendaPlace::Company(company, standing) => {
                let Some(queue) = self.companies.get_mut(&company) else { return };
                let (class, line) = (queue.class(standing), CompanyStanding { held: false, ..standing });
                let Some(numbers) = queue.lines.get_mut(&line) else { return };
                let was_first = numbers.first() == Some(&filing.waiting.number());
                numbers.remove(&filing.waiting.number());
                let next = numbers.first().copied();
                if next.is_none() {
                    queue.lines.remove(&line);
                }
                if queue.lines.is_empty() {
                    self.companies.remove(&company);
                }
                if was_first {
                    remove(&mut self.classes, class, filing.waiting);
                    if let Some(next) = next {
                        insert(&mut self.classes, class, Waiting::Event(next));
                    }
                }
            }
        }
    }
}

impl CompanyQueue {
    fn class(&self, standing: CompanyStanding) -> CallStanding {
        CallStanding::Company(CompanyStanding { held: self.held, ..standing })
    }
}

fn insert(classes: &mut BTreeMap<CallStanding, Waiters>, standing: CallStanding, waiting: Waiting) {
    classes.entry(standing).or_default().insert(waiting);
}

fn remove(classes: &mut BTreeMap<CallStanding, Waiters>, standing: CallStanding, waiting: Waiting) {
    if let Some(waiters) = classes.get_mut(&standing) {
        waiters.remove(waiting);
        if waiters.is_empty() {
            classes.remove(&standing);
        }
    }
}
