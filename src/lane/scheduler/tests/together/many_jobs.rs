//! Bulk upserts that are refused because too many jobs of the account run, and the bound of our own.

use crate::freshsales::Endpoint;
use crate::lane::scheduler::tests::by_hand::{contact, insert, related, report, scheduler, sent, write};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::{Activity, ContactWrite, Identity};
use crate::object::ObjectText;
use serde_json::json;

const CONTACTS: Endpoint = Endpoint::BulkUpsert(Entity::Contact);

fn plain(scheduler: &mut Scheduler<u64>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        insert(scheduler, write(&format!("c{number}@x.com"), &json!({})), number);
    }
}

fn track(scheduler: &mut Scheduler<u64>, identity: Identity, key: ContactKey, number: u64) {
    let track =
        Mapped::Track(Activity { identity, name: "Seen".to_owned(), properties: ObjectText::default() });
    scheduler.insert(track, &[key], None, number);
}

fn answer(scheduler: &mut Scheduler<u64>, number: u64, verdict: Verdict, now: Instant) -> Vec<Effect<u64>> {
    scheduler.answered(number, verdict, &RateLimit::default(), now)
}

/// Takes the next call, which must be a bulk upsert, and refuses it; gives how many records it carried.
fn refuse(scheduler: &mut Scheduler<u64>, now: Instant) -> (u32, Vec<Effect<u64>>) {
    let (number, call) = sent(scheduler, now);
    assert_eq!(call.endpoint, CONTACTS);
    (call.records(), answer(scheduler, number, Verdict::TooManyJobs, now))
}

/// Takes the next call, which must be a bulk upsert, and accepts it as this job.
fn accept(scheduler: &mut Scheduler<u64>, now: Instant, job: usize) -> u32 {
    let (number, call) = sent(scheduler, now);
    assert_eq!(call.endpoint, CONTACTS);
    let url = json!({ "job_status_url": format!("https://x/api/job_statuses/{job}") });
    answer(scheduler, number, Verdict::Done(url), now);
    call.records()
}

fn waits(scheduler: &mut Scheduler<u64>, now: Instant) -> Instant {
    match scheduler.next(now) {
        Next::Wait(Some(then)) => then,
        next @ (Next::Send(..) | Next::Wait(None)) => panic!("expected to wait: {next:?}"),
    }
}

#[test]
fn records_that_found_no_job_gather_with_others_and_none_goes_alone() {
    let mut now = Instant::now();
    let mut scheduler = scheduler(now);
    plain(&mut scheduler, 0..3);
    let (records, effects) = refuse(&mut scheduler, now);
    assert_eq!(records, 3);
    assert!(matches!(effects[..], [Effect::TooManyJobs(WhileJobsRun::Wait)]), "{effects:?}");
    assert!(
        scheduler.impediment(BudgetKind::Api).is_some_and(|(trouble, _)| *trouble == Impediment::Throttled)
    );
    plain(&mut scheduler, 3..40);
    let mut asked = Vec::new();
    for _ in 0..5 {
        let then = waits(&mut scheduler, now);
        asked.push(then - now);
        now = then;
        let (records, effects) = refuse(&mut scheduler, now);
        assert_eq!(records, 40);
        assert!(effects.is_empty(), "told again: {effects:?}");
    }
    assert!(asked[0] >= Duration::from_secs(1) && asked[0] < Duration::from_secs(3), "{asked:?}");
    assert!(asked[4] > asked[0] * 4, "{asked:?}");
    assert!(
        !scheduler.budgets.of(BudgetKind::Api).is_outage()
            && scheduler.budgets.of(BudgetKind::Api).blocked_for(now).is_none()
    );
    now = waits(&mut scheduler, now);
    assert_eq!(accept(&mut scheduler, now, 0), 40);
    assert_eq!(scheduler.impediment(BudgetKind::Api), None);
}

#[test]
fn what_needs_no_job_goes_on_while_records_wait_for_one() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    scheduler.begin_alone(now);
    plain(&mut scheduler, 0..50);
    refuse(&mut scheduler, now);
    track(
        &mut scheduler,
        Identity::Email("t@x.com".to_owned()),
        ContactKey::Email("t@x.com".to_owned()),
        100,
    );
    track(&mut scheduler, Identity::UserId("u".to_owned()), ContactKey::UserId("u".to_owned()), 101);
    let company = Some(related("Acme", &json!({})));
    insert(&mut scheduler, ContactWrite { company, ..write("n@x.com", &json!({})) }, 102);
    let mut called = Vec::new();
    while let Next::Send(number, call) = scheduler.next(now) {
        // Each of them finds what it looks for.
        let body = json!({
            "sales_account": { "id": 7 }, "contact": contact(1, &[7])["contact"], "contacts": { "contacts": [] }
        });
        called.push(call.endpoint.as_str());
        answer(&mut scheduler, number, Verdict::Done(body), now);
    }
    called.sort_unstable();
    // The one contact that is written is the new company's: its link needs the answer.
    let others = ["contact_upsert", "lookup", "sales_account_upsert", "track_event", "track_event"];
    assert_eq!(called, others);
    assert_eq!(scheduler.len(), 50);
}

#[test]
fn two_records_need_no_job_and_wait_no_longer_than_one_usually_takes() {
    let now = Instant::now();
    let mut scheduler = scheduler(now).with(|settings| settings.bulk_jobs = 1);
    plain(&mut scheduler, 0..3);
    accept(&mut scheduler, now, 0);
    plain(&mut scheduler, 3..5);
    let now = waits(&mut scheduler, now);
    assert_eq!(sent(&mut scheduler, now).1.endpoint, Endpoint::JobStatus);
    for _ in 0..2 {
        assert_eq!(sent(&mut scheduler, now).1.endpoint, Endpoint::Upsert(Entity::Contact));
    }
}

#[test]
fn when_a_job_of_ours_ends_one_asks_at_once() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    plain(&mut scheduler, 0..3);
    accept(&mut scheduler, now, 0);
    plain(&mut scheduler, 3..103);
    let (records, _) = refuse(&mut scheduler, now);
    assert_eq!(records, 100);
    let then = waits(&mut scheduler, now);
    let (number, call) = sent(&mut scheduler, then);
    assert_eq!(call.endpoint, Endpoint::JobStatus);
    answer(&mut scheduler, number, Verdict::Done(report(3, &[])), then);
    assert_eq!(accept(&mut scheduler, then, 1), 100);
}

#[test]
fn no_more_jobs_run_at_once_than_the_account_may_have() {
    for most in [1, 3] {
        let mut now = Instant::now();
        let mut scheduler = scheduler(now).with(|settings| settings.bulk_jobs = most);
        plain(&mut scheduler, 0..1000);
        let mut running: BTreeMap<String, u32> = BTreeMap::new();
        let (mut jobs, mut delivered) = (0, 0);
        while delivered < 1000 {
            match scheduler.next(now) {
                Next::Send(number, call) if call.endpoint == CONTACTS => {
                    let path = format!("/api/job_statuses/{jobs}");
                    jobs += 1;
                    running.insert(path.clone(), call.records());
                    assert!(running.len() <= most, "{} jobs", running.len());
                    let url = json!({ "job_status_url": format!("https://x{path}") });
                    answer(&mut scheduler, number, Verdict::Done(url), now);
                }
                Next::Send(number, call) => {
                    assert_eq!(call.endpoint, Endpoint::JobStatus);
                    let records = running.remove(&*call.path).unwrap();
                    let effects =
                        answer(&mut scheduler, number, Verdict::Done(report(records.into(), &[])), now);
                    delivered += effects.len();
                }
                Next::Wait(Some(then)) => now = then,
                Next::Wait(None) => panic!("stuck with {delivered} delivered"),
            }
        }
        assert_eq!(jobs, 10, "records went in calls that were not full");
    }
}

/// Answers all calls for so long, bulk upserts with 405, single ones well; what was called and when.
fn refusing(scheduler: &mut Scheduler<u64>, start: Instant, lasting: Duration) -> Vec<(Duration, Endpoint)> {
    let mut now = start;
    let mut calls = Vec::new();
    while now - start < lasting && !scheduler.is_empty() {
        match scheduler.next(now) {
            Next::Send(number, call) => {
                calls.push((now - start, call.endpoint));
                let verdict = if call.endpoint == CONTACTS {
                    Verdict::TooManyJobs
                } else {
                    Verdict::Done(contact(1, &[]))
                };
                answer(scheduler, number, verdict, now);
            }
            Next::Wait(Some(then)) => now = then,
            Next::Wait(None) => panic!("stuck"),
        }
    }
    calls
}

#[test]
fn where_no_job_is_ever_accepted_records_go_one_by_one_after_some_minutes() {
    let start = Instant::now();
    let pace = Quota::new(900.0, Duration::from_hours(1), 0.9, start);
    let minute = Quota::new(400.0, Duration::from_mins(1), 0.9, start);
    let mut scheduler = Scheduler::new(SchedulerSettings::new(8, BackoffSettings::default()), pace, minute);
    plain(&mut scheduler, 0..400);
    let calls = refusing(&mut scheduler, start, Duration::from_hours(1));
    let single = |(_, endpoint): &&(Duration, Endpoint)| *endpoint == Endpoint::Upsert(Entity::Contact);
    let first = calls.iter().find(single).expect("a record got through").0;
    assert!(first >= Duration::from_mins(2) && first < Duration::from_mins(4), "{first:?}");
    let asked = calls.iter().filter(|(at, endpoint)| *endpoint == CONTACTS && *at > first).count();
    assert!((10..=90).contains(&asked), "bulk upserts are tried again now and then: {asked}");
    // A job is accepted in the end: all that waits goes in bulk again.
    let later = start + Duration::from_hours(2);
    plain(&mut scheduler, 400..460);
    assert!(accept(&mut scheduler, later, 0) >= 60);
    assert!(matches!(scheduler.next(later), Next::Wait(_)));
}

#[test]
fn refusals_that_lie_far_apart_are_not_taken_for_one_long_refusal() {
    let start = Instant::now();
    let mut scheduler = scheduler(start);
    plain(&mut scheduler, 0..3);
    refuse(&mut scheduler, start);
    assert_eq!(scheduler.give_back().len(), 3);
    let later = start + Duration::from_hours(3);
    plain(&mut scheduler, 3..6);
    let (_, effects) = refuse(&mut scheduler, later);
    assert!(matches!(effects[..], [Effect::TooManyJobs(WhileJobsRun::Wait)]), "{effects:?}");
    let then = waits(&mut scheduler, later);
    assert_eq!(accept(&mut scheduler, then, 0), 3);
}

#[test]
fn records_given_back_while_their_bulk_upsert_is_refused_are_not_forgotten() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    plain(&mut scheduler, 0..3);
    let (number, _) = sent(&mut scheduler, now);
    assert!(scheduler.give_back().is_empty(), "their call is under way");
    answer(&mut scheduler, number, Verdict::TooManyJobs, now);
    assert_eq!(scheduler.give_back(), [0, 1, 2]);
    assert!(scheduler.is_empty());
}

#[test]
fn an_answer_that_a_working_server_gave_makes_no_outage() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for number in 0..8 {
        let email = format!("t{number}@x.com");
        track(&mut scheduler, Identity::Email(email.clone()), ContactKey::Email(email), number);
    }
    let numbers: Vec<u64> = (0..8).map(|_| sent(&mut scheduler, now).0).collect();
    for number in numbers {
        let trouble = crate::freshsales::UnavailableCause::UnexpectedStatus(405);
        answer(&mut scheduler, number, Verdict::Unavailable { cause: trouble, retry_after: None }, now);
    }
    assert!(!scheduler.budgets.of(BudgetKind::Tracking).is_outage());
}

#[test]
fn until_it_is_known_how_long_jobs_take_one_is_asked_about_and_its_answer_says_when_to_ask_about_the_others()
{
    let start = Instant::now();
    let mut scheduler = scheduler(start);
    plain(&mut scheduler, 0..300);
    (0..3).for_each(|job| assert_eq!(accept(&mut scheduler, start, job), 100));
    let first = waits(&mut scheduler, start);
    let (number, call) = sent(&mut scheduler, first);
    assert_eq!(call.endpoint, Endpoint::JobStatus);
    let second = waits(&mut scheduler, first);
    assert!(second > first + Duration::from_secs(5), "the others wait for what the first one tells");
    let running = json!({ "status": "IN_PROGRESS", "progress": 25 });
    answer(&mut scheduler, number, Verdict::Done(running), first);
    // A quarter is done after a second.
    let then = waits(&mut scheduler, first);
    assert!(
        then > start + Duration::from_secs(4) && then < start + Duration::from_secs(5),
        "{:?}",
        then - start
    );
}
