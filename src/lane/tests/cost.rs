//! What many events of one contact cost, each with a `userId` of its own.

use serde_json::json;
use tokio::time::Instant;

use crate::cost::stays_linear;
use crate::lane::budget::Quota;
use crate::lane::scheduler::unsettled::window::{ContactKey, Window};
use crate::lane::scheduler::{Next, Scheduler, SchedulerSettings};
use crate::lane::timing::BackoffSettings;
use crate::mapping::{ContactWrite, Mapped, Record};
use std::time::Duration;

fn scheduler(now: Instant) -> Scheduler<usize> {
    let quota = || Quota::new(1000.0, Duration::from_hours(1), 1.0, now);
    Scheduler::new(SchedulerSettings::new(8, BackoffSettings::default()), quota(), quota())
}

fn identify(number: usize) -> Mapped {
    let mut record = Record::default();
    record.fields.insert("emails", json!("ada@example.com"));
    record.fields.insert(format!("field_{}", number % 100), json!(number));
    let email = Some("ada@example.com".to_owned());
    Mapped::Contact(Box::new(ContactWrite { email, user_id: None, record, company: None, deal: None }))
}

#[tokio::test(start_paused = true)]
async fn merging_many_identifies_takes_linear_time() {
    let now = Instant::now();
    stays_linear(
        "identifies",
        |bytes| bytes / 200,
        |events| {
            let mut scheduler = scheduler(now);
            for number in 0..*events {
                let email = "ada@example.com".to_owned();
                let keys = vec![ContactKey::UserId(format!("u{number}")), ContactKey::Email(email.clone())];
                scheduler.insert(identify(number), &keys, Some((format!("u{number}"), email)), number);
            }
            let Next::Send(_, call) = scheduler.next(now) else { panic!("nothing to send") };
            let fields = call.json()["contact"].as_object().unwrap().len();
            assert_eq!(fields, 101, "all are merged");
            assert_eq!(scheduler.give_back().len(), 0, "all are on their way");
        },
    );
}

/// With work in the square of this number, the test would not end.
#[test]
fn the_events_of_one_contact_are_each_looked_at_once() {
    const EVENTS: u64 = 300_000;
    let mut window = Window::default();
    for number in 0..EVENTS {
        window.insert(
            &[ContactKey::UserId(number.to_string()), ContactKey::Email("ada@example.com".to_owned())],
            number,
        );
    }
    let taken = window.take(0, |number| *number < EVENTS / 2);
    assert_eq!(taken.len() as u64, EVENTS / 2);
    for (number, _) in taken {
        window.finish(number);
    }
    assert_eq!(window.drain_waiting().len() as u64, EVENTS / 2);
    assert!(window.is_empty());
}
