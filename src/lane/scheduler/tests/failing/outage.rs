//! What an outage costs, and that no single record makes one or ends none.

use crate::freshsales::Endpoint;
use crate::lane::scheduler::tests::by_hand::{contact, insert, related, report, sent, write};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::Activity;
use crate::mapping::Identity;
use crate::object::ObjectText;
use serde_json::{Value, json};

pub(in crate::lane::scheduler) const CONCURRENCY: usize = 8;
pub(in crate::lane::scheduler) const ANSWER: Duration = Duration::from_millis(200);
pub(in crate::lane::scheduler) const MINUTE: Duration = Duration::from_mins(1);
pub(in crate::lane::scheduler) const HOUR: Duration = Duration::from_hours(1);
/// The longest wait between two probes: a minute and a third.
pub(in crate::lane::scheduler) const LONGEST: Duration = Duration::from_secs(80);

fn down() -> Verdict {
    Verdict::Unavailable { cause: Failure::ServerError(503), retry_after: None }
}

/// An account of the plan growth, and a clock that jumps.
pub(in crate::lane::scheduler) struct Account {
    pub(in crate::lane::scheduler) scheduler: Scheduler<u64>,
    pub(in crate::lane::scheduler) start: Instant,
    pub(in crate::lane::scheduler) now: Instant,
    answers: BTreeMap<(Instant, u64), Verdict>,
    jobs: Vec<u32>,
    /// Their addresses; the place makes the id.
    contacts: Vec<String>,
    pub(in crate::lane::scheduler) sent: Vec<(Instant, Call)>,
    pub(in crate::lane::scheduler) delivered: Vec<(Instant, u64)>,
    /// What ended otherwise.
    pub(in crate::lane::scheduler) refused: Vec<(Instant, u64, crate::outcome::Refusal)>,
    pub(in crate::lane::scheduler) left_out: Vec<Entity>,
    /// What is in the way, whenever it changes.
    pub(in crate::lane::scheduler) troubles: Vec<(Instant, String)>,
}

impl Account {
    pub(in crate::lane::scheduler) fn new() -> Self {
        let start = Instant::now();
        let (api, tracking) = (Quota::new(900.0, HOUR, 0.9, start), Quota::new(400.0, MINUTE, 0.9, start));
        Self {
            scheduler: Scheduler::new(
                SchedulerSettings::new(CONCURRENCY, BackoffSettings::default()),
                api,
                tracking,
            ),
            start,
            now: start,
            answers: BTreeMap::new(),
            jobs: Vec::new(),
            contacts: Vec::new(),
            sent: Vec::new(),
            delivered: Vec::new(),
            refused: Vec::new(),
            left_out: Vec::new(),
            troubles: Vec::new(),
        }
    }

    pub(in crate::lane::scheduler) fn track(&mut self, number: u64) {
        let email = format!("t{number}@x.com");
        let (identity, name) = (Identity::Email(email.clone()), number.to_string());
        let track = Mapped::Track(Activity { identity, name, properties: ObjectText::default() });
        self.scheduler.insert(track, &[ContactKey::Email(email)], None, number);
    }

    fn good(&mut self, call: &Call) -> Verdict {
        Verdict::Done(match call.endpoint {
            Endpoint::BulkUpsert(_) => {
                self.jobs.push(call.records());
                json!({ "job_status_url": format!("https://x/api/job_statuses/{}", self.jobs.len() - 1) })
            }
            Endpoint::JobStatus => {
                let job = call.path.rsplit('/').next().and_then(|job| job.parse::<usize>().ok());
                let job = job.and_then(|job| self.jobs.get(job));
                job.map_or(Value::Null, |records| report((*records).into(), &[]))
            }
            Endpoint::Upsert(Entity::SalesAccount) => json!({ "sales_account": { "id": 7 } }),
            Endpoint::Upsert(Entity::Contact) => {
                let email =
                    call.json()["unique_identifier"]["emails"].as_str().unwrap_or_default().to_owned();
                let known = self.contacts.iter().position(|known| *known == email);
                let place = known.unwrap_or(self.contacts.len());
                if known.is_none() {
                    self.contacts.push(email);
                }
                contact(i64::try_from(place).unwrap() + 1, &[])
            }
            Endpoint::Upsert(Entity::Deal) => json!({ "deal": { "id": 1 } }),
            Endpoint::ContactRead | Endpoint::ContactUpdate => {
                let id = call.path.rsplit('/').next().and_then(|id| id.parse().ok());
                contact(id.unwrap_or(1), &[])
            }
            Endpoint::SalesAccountRead | Endpoint::SalesAccountUpdate => {
                json!({ "sales_account": { "id": 7 } })
            }
            Endpoint::DealRead | Endpoint::DealCreate | Endpoint::DealUpdate => {
                json!({ "deal": { "id": 1 } })
            }
            Endpoint::Fields(_)
            | Endpoint::Selector(_)
            | Endpoint::Lookup
            | Endpoint::Search(_)
            | Endpoint::TrackEvent
            | Endpoint::TrackPageView => Value::Null,
        })
    }

    /// Goes on until then, or until nothing is left. Calls that `fails` tells of are not served.
    fn until(&mut self, end: Instant, mut fails: impl FnMut(&Call) -> bool) {
        self.run(end, |call| fails(call).then(down));
        assert_eq!(self.refused, []);
    }

    /// Goes on until no call is in flight.
    pub(in crate::lane::scheduler) fn run_until_answered(
        &mut self,
        mut answer: impl FnMut(&Call) -> Option<Verdict>,
    ) {
        while !self.answers.is_empty() {
            self.run(self.now + ANSWER, &mut answer);
        }
    }

    /// Goes on until then, or until nothing is left. Where `answer` says nothing, the account answers well.
    pub(in crate::lane::scheduler) fn run(
        &mut self,
        end: Instant,
        mut answer: impl FnMut(&Call) -> Option<Verdict>,
    ) {
        loop {
            let wake = loop {
                match self.scheduler.next(self.now) {
                    Next::Send(number, call) => {
                        let verdict = answer(&call).unwrap_or_else(|| self.good(&call));
                        self.answers.insert((self.now + ANSWER, number), verdict);
                        self.sent.push((self.now, call));
                    }
                    Next::Wait(wake) => break wake,
                }
            };
            let answer = self.answers.keys().next().map(|(at, _)| *at);
            let next = [wake, answer].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end && !self.scheduler.is_empty()) else {
                self.now = end;
                return;
            };
            self.now = next.max(self.now);
            while let Some(entry) = self.answers.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let ((_, number), verdict) = entry.remove_entry();
                for effect in self.scheduler.answered(number, verdict, &RateLimit::default(), self.now) {
                    match effect {
                        Effect::Settled { delivery, outcome: Outcome::DeadLetter(refusal), .. } => {
                            self.refused.push((self.now, delivery, refusal));
                        }
                        Effect::Settled { delivery, outcome, .. } => {
                            assert_eq!(outcome, Outcome::Delivered);
                            self.delivered.push((self.now, delivery));
                        }
                        Effect::LeftOut(omitted) => self.left_out.push(omitted.entity),
                        Effect::BulkGivenUp
                        | Effect::BulkFeature(..)
                        | Effect::DealsNotShown
                        | Effect::TooManyJobs { .. }
                        | Effect::Coalesced(_)
                        | Effect::Fields(..)
                        | Effect::Selector(..) => {}
                    }
                }
                for budget in [BudgetKind::Api, BudgetKind::Tracking] {
                    if let Some((_, why)) = self.scheduler.impediment(budget) {
                        self.troubles.push((self.now, why.clone()));
                    }
                }
            }
        }
    }

    /// The calls of this track.
    fn attempts(&self, number: u64) -> usize {
        self.sent.iter().filter(|(_, call)| is_track(call, number)).count()
    }

    pub(in crate::lane::scheduler) fn trouble(&self, budget: BudgetKind) -> Option<Impediment> {
        self.scheduler.impediment(budget).map(|(trouble, _)| *trouble)
    }
}

pub(in crate::lane::scheduler) fn is_track(call: &Call, number: u64) -> bool {
    call.json()["event"]["name"] == number.to_string().as_str()
}

pub(in crate::lane::scheduler) fn plain(account: &mut Account, number: u64) {
    insert(&mut account.scheduler, write(&format!("c{number}@x.com"), &json!({})), number);
}

pub(in crate::lane::scheduler) fn with_new_company(account: &mut Account, number: u64) {
    let company = Some(related(&format!("Company {number}"), &json!({})));
    let write = write(&format!("c{number}@x.com"), &json!({}));
    insert(&mut account.scheduler, crate::mapping::ContactWrite { company, ..write }, number);
}

/// Lets 400 wait through an outage of an hour, and then go on.
fn an_hour_of_outage(budget: BudgetKind, feed: impl Fn(&mut Account, u64)) {
    let mut account = Account::new();
    for number in 0..400 {
        feed(&mut account, number);
    }
    let (minute, hour) = (account.start + MINUTE, account.start + HOUR);
    account.until(minute, |_| true);
    assert!((10..=30).contains(&account.sent.len()), "{} in the first minute", account.sent.len());
    account.until(hour, |_| true);
    assert!((50..=120).contains(&account.sent.len()), "{} in the first hour", account.sent.len());
    assert_eq!(account.trouble(budget), Some(Impediment::Retrying));
    assert!(!account.scheduler.starved(), "an outage is no want of quota");

    let during = account.sent.len();
    account.until(hour + HOUR * 3, |_| false);
    let (probed, _) = account.sent[during];
    assert!(probed <= hour + LONGEST, "the next probe came too late");
    let at_once = account.sent[during + 1..].iter().take_while(|(at, _)| *at == probed + ANSWER).count();
    assert!(at_once >= 3, "{at_once} calls when the outage was over");
    let mut delivered: Vec<u64> = account.delivered.iter().map(|(_, number)| *number).collect();
    delivered.sort_unstable();
    assert!(delivered.into_iter().eq(0..400));
    assert_eq!(account.trouble(budget), None);
}

#[test]
fn an_outage_costs_few_calls_where_many_tracks_wait() {
    an_hour_of_outage(BudgetKind::Tracking, Account::track);
}

#[test]
fn an_outage_costs_few_calls_where_many_identifies_wait() {
    an_hour_of_outage(BudgetKind::Api, plain);
}

#[test]
fn an_outage_costs_few_calls_where_many_new_companies_wait() {
    an_hour_of_outage(BudgetKind::Api, with_new_company);
}

#[test]
fn an_outage_of_one_budget_leaves_the_other_alone() {
    let mut account = Account::new();
    for number in 0..20 {
        account.track(number);
        with_new_company(&mut account, 100 + number);
    }
    let end = account.start + MINUTE;
    account.until(end, |call| call.endpoint.budget() == BudgetKind::Api);
    assert_eq!(account.delivered.len(), 20);
    assert!(account.delivered.iter().all(|(at, number)| *number < 20 && *at - account.start <= MINUTE / 6));
}

#[test]
fn a_record_that_freshsales_cannot_stand_neither_stops_the_others_nor_is_given_up() {
    let mut account = Account::new();
    account.track(0);
    let mut arrived = Vec::new();
    for number in 1..360 {
        arrived.push(account.now);
        account.track(number);
        let then = account.now + Duration::from_secs(10);
        account.until(then, |call| is_track(call, 0));
    }
    assert_eq!(account.delivered.len(), 359);
    for ((at, number), arrived) in account.delivered.iter().zip(arrived) {
        assert_eq!(*at - arrived, ANSWER, "event {number} waited");
    }
    assert!((45..100).contains(&account.attempts(0)), "{}", account.attempts(0));
}

#[test]
fn records_that_freshsales_cannot_stand_do_not_hide_the_end_of_an_outage() {
    let mut account = Account::new();
    for number in 0..20 {
        account.track(number);
    }
    let over = account.start + Duration::from_mins(30);
    account.until(over, |_| true);
    assert!(account.scheduler.budgets.of(BudgetKind::Tracking).is_outage());
    let poison = |call: &Call| (0..3).any(|number| is_track(call, number));
    account.until(over + LONGEST * 5, poison);
    assert_eq!(account.delivered.len(), 17, "all but the three");
    let before = account.attempts(0);
    account.until(over + HOUR, poison);
    assert!((10..40).contains(&(account.attempts(0) - before)), "{}", account.attempts(0) - before);
    // One that comes now is the next probe, and no other goes before it.
    account.track(20);
    account.until(over + HOUR + LONGEST + ANSWER * 3, poison);
    assert_eq!(account.delivered.len(), 18);
}

#[test]
fn probes_go_round_over_all_that_waits() {
    let mut account = Account::new();
    for number in 0..10 {
        account.track(number);
    }
    let end = account.start + HOUR;
    account.until(end, |_| true);
    let attempts: Vec<usize> = (0..10).map(|number| account.attempts(number)).collect();
    assert!(attempts.iter().all(|attempts| (4..=15).contains(attempts)), "{attempts:?}");
    let last = &account.sent[account.sent.len() - 20..];
    assert!(last.windows(2).all(|pair| pair[0].1.body != pair[1].1.body), "the same one twice");
}

#[test]
fn what_failed_in_an_outage_goes_at_once_when_it_is_over() {
    for _ in 0..10 {
        let mut account = Account::new();
        account.track(0);
        account.track(1);
        let over = account.start + HOUR;
        account.until(over, |_| true);
        account.until(over + LONGEST * 2, |_| false);
        let [(first, _), (second, _)] = account.delivered[..] else { panic!("{:?}", account.delivered) };
        assert_eq!(second - first, ANSWER);
    }
}

#[test]
fn a_single_call_that_always_fails_backs_off_and_is_no_outage() {
    let mut account = Account::new();
    account.track(0);
    let end = account.start + HOUR;
    account.until(end, |_| true);
    assert!((45..=100).contains(&account.sent.len()), "{}", account.sent.len());
    let gaps: Vec<Duration> = account.sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps[0] < Duration::from_secs(1), "{gaps:?}");
    assert!(gaps[10..].iter().all(|gap| *gap >= LONGEST / 2 && *gap <= LONGEST + ANSWER), "{gaps:?}");
    assert!(!account.scheduler.budgets.of(BudgetKind::Tracking).is_outage());
    // Another event does not wait for it.
    account.track(1);
    account.until(end + ANSWER, |call| is_track(call, 0));
    assert_eq!(account.delivered, [(end + ANSWER, 1)]);
}

/// Has this many tracks on their way at once.
fn on_their_way(calls: u64) -> (Account, Vec<u64>) {
    let mut account = Account::new();
    (0..calls).for_each(|number| account.track(number));
    let now = account.now;
    let plenty = RateLimit { remaining: Some(1_000_000), ..RateLimit::default() };
    account.scheduler.budgets.of_mut(BudgetKind::Tracking).observe(now, &plenty, 0);
    let numbers = (0..calls).map(|_| sent(&mut account.scheduler, now).0).collect();
    (account, numbers)
}

#[test]
fn calls_that_fail_together_begin_one_outage_with_one_short_wait() {
    let (mut account, numbers) = on_their_way(8);
    account.track(8);
    let now = account.now;
    for number in numbers {
        account.scheduler.answered(number, down(), &RateLimit::default(), now);
    }
    let wait = account.scheduler.budgets.of(BudgetKind::Tracking).blocked_for(now).unwrap();
    assert!(wait < Duration::from_secs(1), "{wait:?}");
    let (number, call) = sent(&mut account.scheduler, now + wait);
    assert!(is_track(&call, 8), "one that failed went before it");
    let others = account.scheduler.next(now + wait + HOUR);
    assert!(matches!(others, Next::Wait(_)), "two probes at once: {others:?}");
    // A probe that was broken off found nothing out.
    account.scheduler.aborted(number, now + wait);
    sent(&mut account.scheduler, now + wait);
}

#[test]
fn a_few_failures_among_successes_are_no_outage() {
    let (mut account, numbers) = on_their_way(8);
    for (index, number) in numbers.into_iter().enumerate() {
        let verdict = match index {
            4 => Verdict::Refused { status: 400, messages: vec!["no".to_owned()] },
            _ => down(),
        };
        account.scheduler.answered(number, verdict, &RateLimit::default(), account.now);
    }
    assert!(
        !account.scheduler.budgets.of(BudgetKind::Tracking).is_outage()
            && account.scheduler.budgets.of(BudgetKind::Tracking).blocked_for(account.now).is_none()
    );
}

#[test]
fn in_an_outage_retry_after_is_heeded_as_well() {
    let (mut account, numbers) = on_their_way(8);
    for number in numbers {
        let retry_after = Some(Duration::from_mins(10));
        let verdict = Verdict::Unavailable { cause: Failure::ServerError(503), retry_after };
        account.scheduler.answered(number, verdict, &RateLimit::default(), account.now);
    }
    let until = account.now + Duration::from_mins(10);
    account.until(until + MINUTE, |_| false);
    assert_eq!(account.sent[0].0, until);
    assert_eq!(account.delivered.len(), 8);
}

#[test]
fn what_was_given_back_is_no_trouble_of_this_lane_any_more() {
    let (mut account, numbers) = on_their_way(1);
    account.scheduler.answered(numbers[0], down(), &RateLimit::default(), account.now);
    assert_eq!(account.trouble(BudgetKind::Tracking), Some(Impediment::Retrying));
    assert_eq!(account.scheduler.give_back(), [0]);
    plain(&mut account, 1);
    account.track(2);
    assert_eq!(account.trouble(BudgetKind::Tracking), None);
}

#[test]
fn an_outage_outlasts_the_session_and_is_told_where_it_matters() {
    let (mut account, numbers) = on_their_way(8);
    for number in numbers {
        account.scheduler.answered(number, down(), &RateLimit::default(), account.now);
    }
    assert_eq!(account.scheduler.give_back().len(), 8);
    account.scheduler.begin();
    plain(&mut account, 100);
    assert_eq!(account.trouble(BudgetKind::Tracking), None, "nothing is to be tracked");
    (0..8).for_each(|number| account.track(number));
    assert_eq!(account.trouble(BudgetKind::Tracking), Some(Impediment::Retrying));
    let end = account.now + Duration::from_secs(30);
    account.until(end, |call| call.endpoint.budget() == BudgetKind::Tracking);
    let tracks = account.sent.iter().filter(|(_, call)| call.endpoint == Endpoint::TrackEvent).count();
    assert!((3..9).contains(&tracks), "{tracks} calls, as if there had been no outage");
    account.until(end + LONGEST * 2, |_| false);
    assert_eq!(account.delivered.len(), 9);
    assert_eq!(account.trouble(BudgetKind::Tracking), None);
}

#[test]
fn fields_are_read_in_an_outage_while_a_lane_is_taken_over() {
    let mut account = Account::new();
    account.scheduler.settings.records.links = Links::Careful;
    (0..5).for_each(|number| with_new_company(&mut account, number));
    let mut now = account.now;
    let numbers: Vec<u64> = (0..5).map(|_| sent(&mut account.scheduler, now).0).collect();
    for number in numbers {
        account.scheduler.answered(number, down(), &RateLimit::default(), now);
    }
    account.scheduler.read_fields(Entity::Deal, now);
    for _ in 0..2 {
        now += LONGEST;
        account.scheduler.begin();
        account.scheduler.redelivered(now);
        let (number, call) = sent(&mut account.scheduler, now);
        assert_eq!(call.endpoint, Endpoint::Fields(Entity::Deal));
        assert!(account.scheduler.answered(number, down(), &RateLimit::default(), now).is_empty());
    }
}
