//! Kinds of identifies, each with a tight and a plentiful quota: what 1000 of them cost while work waits.

use std::time::Duration;

use freshet::config::DealIdentity;
use freshet::mapping::Mapped;
use freshet::schema::Entity;
use serde_json::json;

use super::PREFETCH;
use super::api::Terms;
use super::report::{self, Targets};
use super::run::{Replica, Result, Simulation};
use super::traffic::{self, Kind};

/// Companies that many contacts share.
const COMPANIES: usize = 50;

/// How many events of each kind.
#[derive(Clone, Copy)]
pub struct Size {
    pub bare: usize,
    pub related: usize,
}

/// As the tables have it.
pub const FULL: Size = Size { bare: 5000, related: 2000 };

pub const SEARCH_DELAY: Duration = Duration::from_secs(3);

/// Calls take 200 ms, and jobs 1 to 8 seconds in a fixed pattern.
pub const fn terms(plan: u32) -> Terms {
    Terms {
        plan,
        answer: Duration::from_millis(200),
        job_time: |number| Duration::from_millis(1000 + number.wrapping_mul(7919) % 7001),
        search_delay: SEARCH_DELAY,
    }
}

const QUOTAS: [(&str, u32); 2] = [("tight", 1000), ("plentiful", 100_000)];

/// What each run of a kind came to, and for which quota.
struct Runs(Vec<(&'static str, Result)>);

impl Runs {
    fn of(run: impl Fn(Terms) -> Result) -> Self {
        Self(QUOTAS.into_iter().map(|(quota, plan)| (quota, run(terms(plan)))).collect())
    }

    fn print(&self, traffic: &str) {
        for (quota, result) in &self.0 {
            report::row(&[traffic, quota], result);
        }
    }

    fn results(&self) -> impl Iterator<Item = &Result> {
        self.0.iter().map(|(_, result)| result)
    }
}

pub fn print(size: Size, targets: &mut Targets) {
    report::heading(&["traffic", "quota"]);
    let all = Runs::of(|terms| bare(terms, &traffic::at_once(size.bare)));
    all.print("distinct contacts, all waiting");
    let steady = Runs::of(|terms| bare(terms, &traffic::steadily(size.bare)));
    steady.print("distinct contacts, 200 a second");
    let both: Vec<&Result> = all.results().chain(steady.results()).collect();
    targets.calls("distinct contacts", 25.0, &both);

    let mut line = |traffic: &str, most: f64, runs: &Runs| {
        runs.print(traffic);
        targets.calls(traffic, most, &runs.results().collect::<Vec<_>>());
    };
    let known = |process| Runs::of(move |terms| known(terms, size.related, process));
    line("known contacts with a known company", 25.0, &known(Process::Same));
    line("known contacts with a known company, after a restart", 45.0, &known(Process::Restarted));
    let kind = Kind::WithCompany(COMPANIES);
    let new = Runs::of(|terms| new(terms, kind, size.related, DealIdentity::Contact).result);
    line(&format!("new contacts, each with one of {COMPANIES} new companies"), 60.0, &new);
    for (identity, most) in [(DealIdentity::Contact, 1100.0), (DealIdentity::Name, 130.0)] {
        let word: &str = identity.into();
        let new = |terms| self::new(terms, Kind::Documented, size.related, identity);
        let example = format!("the documented example, `{word}`");
        line(&format!("{example}: all new"), most, &Runs::of(|terms| new(terms).result));
        let again = |process| Runs::of(move |terms| new(terms).again(process));
        line(&format!("{example}: other values"), 130.0, &again(Process::Same));
        line(&format!("{example}: other values, after a restart"), 130.0, &again(Process::Restarted));
    }
}

/// Who writes the same contacts once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Process {
    Same,
    Restarted,
}

/// Events that were written, and who wrote them.
struct Written {
    simulation: Simulation,
    replica: Replica,
    result: Result,
    kind: Kind,
    events: usize,
    identity: DealIdentity,
    old_link: Option<i64>,
}

impl Written {
    /// Writes the first round, and looks whether it is there.
    fn first(mut simulation: Simulation, kind: Kind, arrivals: &[Duration], identity: DealIdentity) -> Self {
        let mut replica = simulation.replica(PREFETCH, identity);
        let result = simulation.run(&mut replica, arrivals, |number| traffic::event(kind, number, 1), None);
        let events = arrivals.len();
        let old_link = simulation.api.account.by_name(Entity::SalesAccount, OLD_COMPANY);
        let written = Self { simulation, replica, result, kind, events, identity, old_link };
        written.assert_round(1, &written.result);
        written
    }

    /// Writes other values of the same contacts, two hours later.
    fn again(mut self, process: Process) -> Result {
        self.simulation.pause();
        if process == Process::Restarted {
            self.replica = self.simulation.replica(PREFETCH, self.identity);
        }
        let event = |number| traffic::event(self.kind, number, 2);
        let result = self.simulation.run(&mut self.replica, &traffic::at_once(self.events), event, None);
        self.assert_round(2, &result);
        result
    }

    fn assert_round(&self, round: u32, result: &Result) {
        assert_eq!(result.unsettled, 0, "every event is settled");
        let account = &self.simulation.api.account;
        for number in 0..self.events {
            traffic::assert_written(
                account,
                &traffic::event(self.kind, number, round),
                self.old_link.as_slice(),
            );
        }
        let with_deal = if self.kind == Kind::Documented { self.events } else { 0 };
        assert_eq!(account.deals().len(), with_deal, "each deal is there once");
    }
}

/// A replica starts right after another one has linked known contacts, and links them to other companies. Search, as slow
/// as it has been seen, shows the contacts without the first links for most of that time, and none of them is lost.
pub fn take_over_at_once() {
    let (kind, events) = (Kind::WithCompany(COMPANIES), 150);
    let terms = Terms { search_delay: Duration::from_secs(20), ..terms(100_000) };
    let mut simulation = Simulation::new(terms);
    seed(&mut simulation, events, 2 * COMPANIES, |_| None);
    let arrivals = traffic::at_once(events);
    let mut written = Written::first(simulation, kind, &arrivals, DealIdentity::Contact);
    written.replica = written.simulation.replica(PREFETCH, DealIdentity::Contact);
    let other = |number: usize| {
        let mut event = traffic::event(kind, number, 2);
        if let Mapped::Contact(write) = &mut event {
            write.company = Some(traffic::company(COMPANIES + number % COMPANIES, 0));
        }
        event
    };
    let result = written.simulation.run(&mut written.replica, &arrivals, other, None);
    assert_eq!(result.unsettled, 0);
    let account = &written.simulation.api.account;
    for number in 0..events {
        let first = account.by_name(Entity::SalesAccount, &format!("Company {}", number % COMPANIES));
        let old: Vec<i64> = written.old_link.into_iter().chain(first).collect();
        traffic::assert_written(account, &other(number), &old);
    }
}

fn bare(terms: Terms, arrivals: &[Duration]) -> Result {
    Written::first(Simulation::new(terms), Kind::Bare, arrivals, DealIdentity::Contact).result
}

fn new(terms: Terms, kind: Kind, events: usize, identity: DealIdentity) -> Written {
    Written::first(Simulation::new(terms), kind, &traffic::at_once(events), identity)
}

/// A sales account that known contacts are linked to and that no event names.
const OLD_COMPANY: &str = "Old Company";

/// Contacts that the account has had for long, each linked to its company and to another one.
fn known(terms: Terms, events: usize, process: Process) -> Result {
    let mut simulation = Simulation::new(terms);
    seed(&mut simulation, events, COMPANIES, |number| Some(number % COMPANIES));
    let kind = Kind::WithCompany(COMPANIES);
    let written = Written::first(simulation, kind, &traffic::at_once(events), DealIdentity::Contact);
    written.again(process)
}

/// Companies and contacts, each linked to [`OLD_COMPANY`] and to the company of this number, two hours ago.
fn seed(
    simulation: &mut Simulation,
    contacts: usize,
    companies: usize,
    linked: impl Fn(usize) -> Option<usize>,
) {
    let (account, now) = (&mut simulation.api.account, simulation.now);
    let mut write = |entity, name: &str, data: serde_json::Value| {
        account.upsert(entity, name, data.as_object().expect("an object"), now)
    };
    let old = write(Entity::SalesAccount, OLD_COMPANY, json!({}));
    let companies: Vec<i64> = (0..companies)
        .map(|number| write(Entity::SalesAccount, &format!("Company {number}"), json!({})))
        .collect();
    for number in 0..contacts {
        let company = linked(number).map(|company| json!({ "id": companies[company], "is_primary": false }));
        let links = std::iter::once(json!({ "id": old, "is_primary": true })).chain(company);
        let links: serde_json::Value = links.collect();
        write(Entity::Contact, &traffic::email(number), json!({ "sales_accounts": links }));
    }
    simulation.pause();
}
