//! What planning costs however much waits, and random traffic that changes all that a plan depends on: the
//! [`walk`](super::super::walk) compares each plan.

use super::any_account::{Crm, page};
use crate::freshsales::Endpoint;
use crate::lane::scheduler::steps::steps;
use crate::lane::scheduler::tests::by_hand::{self, insert_of, related, scheduler, sent, write};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::{Activity, ContactWrite, Identity};
use crate::object::ObjectText;
use proptest::prelude::*;
use serde_json::{Value, json};

fn email(number: usize) -> String {
    format!("c{number}@x.com")
}

fn track(identity: Identity) -> Mapped {
    Mapped::Track(Activity { identity, name: "0".to_owned(), properties: ObjectText::default() })
}

fn track_of(scheduler: &mut Scheduler<u64>, identity: Identity) {
    let key = match &identity {
        Identity::Email(email) => ContactKey::Email(email.clone()),
        Identity::UserId(user_id) => ContactKey::UserId(user_id.clone()),
    };
    scheduler.insert(track(identity), &[key], None, 0);
}

/// An identify with one of so many companies, whose values are all the same or each event's own.
fn with_company(number: usize, companies: usize, score: usize) -> ContactWrite {
    let name = format!("Company {}", number % companies);
    let company = Some(related(&name, &json!({ "name": name, "score": score })));
    ContactWrite { company, ..write(&email(number), &json!({ "emails": email(number) })) }
}

/// Puts in the event of a number.
type NewEvent = fn(&mut Scheduler<u64>, usize);

/// What one settled event costs, in steps, while the window holds so many.
fn steps_of_an_event(window: usize, links: Links, event: NewEvent) -> u64 {
    let mut now = Instant::now();
    let mut scheduler = scheduler(now).with(|settings| {
        settings.bulk_jobs = 6;
        settings.records.links = links;
    });
    let mut crm = Crm::with_moods(vec![255]);
    let mut answers: BTreeMap<(Instant, u64), Verdict> = BTreeMap::new();
    let (mut taken, mut settled, mut measured) = (0, 0, None);
    loop {
        while scheduler.len() < window {
            event(&mut scheduler, taken);
            taken += 1;
        }
        if settled >= 1000 && measured.is_none() {
            measured = Some((steps(), settled));
        }
        if let Some((before, settled_before)) = measured.filter(|(_, before)| settled >= before + 1000) {
            return (steps() - before) / (settled - settled_before);
        }
        let wake = loop {
            match scheduler.next(now) {
                Next::Send(number, call) => {
                    let mut verdict = crm.answer(now, &call);
                    if let (Endpoint::Search(Entity::Contact), Verdict::Done(body)) =
                        (call.endpoint, &mut verdict)
                    {
                        body["meta"] = json!({ "total": body["contacts"].as_array().unwrap().len() });
                    }
                    answers.insert((now + Duration::from_millis(200), number), verdict);
                }
                Next::Wait(wake) => break wake,
            }
        };
        let answer = answers.first_key_value().map(|((at, _), _)| *at);
        now = [wake, answer].into_iter().flatten().min().unwrap().max(now);
        while let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, number), verdict) = entry.remove_entry();
            let effects = scheduler.answered(number, verdict, &RateLimit::default(), now);
            settled +=
                effects.iter().filter(|effect| matches!(effect, Effect::Settled { .. })).count() as u64;
        }
    }
}

#[test]
fn an_event_costs_as_many_steps_in_a_large_window_as_in_a_small_one() {
    let traffics: [(&str, Links, NewEvent); 5] = [
        ("identifies of different contacts", Links::Bulk, |scheduler, number| {
            insert_of(scheduler, write(&email(number), &json!({ "emails": email(number) })), 0);
        }),
        ("identifies with one of 50 companies", Links::Bulk, |scheduler, number| {
            insert_of(scheduler, with_company(number, 50, 0), 0);
        }),
        ("identifies that change one company one by one", Links::Careful, |scheduler, number| {
            insert_of(scheduler, with_company(number, 1, number), 0);
        }),
        ("tracks of different contacts", Links::Bulk, |scheduler, number| {
            track_of(scheduler, Identity::Email(email(number)));
        }),
        ("tracks of one contact", Links::Bulk, |scheduler, _| track_of(scheduler, Identity::Email(email(0)))),
    ];
    for (name, links, event) in traffics {
        let steps = |window| steps_of_an_event(window, links, event);
        let (small, large) = (steps(400), steps(20_000));
        assert!(large <= small + small / 4 + 2, "{name}: from {small} to {large} steps");
    }
}

#[test]
fn a_work_item_that_is_changed_while_it_waits_is_looked_at_again() {
    let now = Instant::now();
    let mut scheduler = scheduler(now);
    for contact in 0..3 {
        insert_of(&mut scheduler, write(&email(contact), &json!({})), 0);
    }
    let item = scheduler.take_work_item(0).unwrap();
    scheduler.file_changed();
    scheduler.items.contact_mut(item).unwrap().singly = true;
    let (_, call) = sent(&mut scheduler, now);
    assert_eq!(call.endpoint, Endpoint::Upsert(Entity::Contact), "it is the oldest, and goes alone");
}

/// Something that happens to a lane.
#[derive(Debug, Clone)]
enum Happening {
    Identify {
        contact: u8,
        user: Option<u8>,
        address: bool,
        company: Option<u8>,
        score: u8,
        deal: Option<u8>,
        tag: Option<u8>,
    },
    Track {
        contact: u8,
        by_user: bool,
    },
    Answer {
        place: u8,
        mood: u8,
    },
    Pass {
        seconds: u32,
    },
    Lost,
}

fn happening() -> impl Strategy<Value = Happening> {
    let identify = (
        0u8..8,
        prop::option::weighted(0.4, 0u8..3),
        prop::bool::weighted(0.8),
        prop::option::weighted(0.6, 0u8..4),
        0u8..3,
        prop::option::weighted(0.3, 0u8..2),
        prop::option::weighted(0.4, 0u8..3),
    )
        .prop_map(|(contact, user, address, company, score, deal, tag)| {
            // Without either nobody knows whom it is about.
            let address = address || user.is_none();
            Happening::Identify { contact, user, address, company, score, deal, tag }
        });
    prop_oneof![
        8 => identify,
        3 => (0u8..8, any::<bool>()).prop_map(|(contact, by_user)| Happening::Track { contact, by_user }),
        12 => (any::<u8>(), any::<u8>()).prop_map(|(place, mood)| Happening::Answer { place, mood }),
        5 => (0u32..13).prop_map(|power| Happening::Pass { seconds: (1 << power) - 1 }),
        1 => Just(Happening::Lost),
    ]
}

/// An answer as an account might give it, whatever was written before.
fn answer(call: &Call, mood: u8, contact_ids: i64) -> Verdict {
    let id = i64::from(mood) % contact_ids + 1;
    let links: Vec<Value> =
        (0..mood % 3).map(|link| json!({ "id": 100 + link, "is_primary": link == 0 })).collect();
    let tags: Vec<String> = (0..mood % 4).map(|tag| format!("tag{tag}")).collect();
    let body = call.json();
    let contact = json!({ "id": id, "external_id": format!("u{}", mood % 3), "emails": email(usize::from(mood % 8)),
        "email": email(usize::from(mood % 8)), "sales_accounts": links, "tags": tags, "deals": [] });
    let verdict = match call.endpoint {
        Endpoint::Upsert(Entity::Contact) | Endpoint::ContactRead | Endpoint::ContactUpdate => {
            json!({ "contact": contact, "deals": [] })
        }
        Endpoint::Upsert(Entity::SalesAccount)
        | Endpoint::SalesAccountRead
        | Endpoint::SalesAccountUpdate => {
            json!({ "sales_account": { "id": 100 + mood % 4, "tags": tags } })
        }
        Endpoint::Upsert(Entity::Deal) | Endpoint::DealCreate | Endpoint::DealRead | Endpoint::DealUpdate => {
            json!({ "deal": { "id": 500 + i64::from(mood), "tags": tags } })
        }
        Endpoint::BulkUpsert(entity) => {
            let records = body[entity.plural()].as_array().map_or(0, Vec::len);
            json!({ "job_status_url": format!("https://x/api/job_statuses/{records}") })
        }
        Endpoint::JobStatus if mood.is_multiple_of(3) => json!({ "status": "IN_PROGRESS" }),
        Endpoint::JobStatus => {
            let records: u64 = call.path.rsplit('/').next().unwrap().parse().unwrap();
            by_hand::report(records, &[])
        }
        Endpoint::Search(Entity::Contact) => {
            let asked = body["filter_rule"][0]["value"].as_array().cloned().unwrap_or_default();
            let found = asked.iter().enumerate().filter(|(place, _)| (place + usize::from(mood)) % 4 != 0);
            let row = |(place, address): (usize, &Value)| {
                let mut row = contact.clone();
                row["id"] = json!(place + 1);
                (row["email"], row["emails"]) = (address.clone(), address.clone());
                row
            };
            let rows: Vec<Value> = found.map(row).collect();
            json!({ "meta": { "total": rows.len() + usize::from(mood.is_multiple_of(5)) }, "contacts": rows })
        }
        Endpoint::Search(_) => {
            let companies =
                (0..mood % 5).map(|place| json!({ "id": 100 + place, "name": format!("Company {place}") }));
            json!({ "sales_accounts": companies.collect::<Vec<_>>() })
        }
        Endpoint::Lookup if mood.is_multiple_of(2) => json!({ "contacts": { "contacts": [] } }),
        Endpoint::Lookup => json!({ "contacts": { "contacts": [contact] } }),
        Endpoint::Fields(_) | Endpoint::Selector(_) | Endpoint::TrackEvent | Endpoint::TrackPageView => {
            json!({})
        }
    };
    match mood {
        0..=9 => Verdict::Unavailable { cause: Failure::Timeout, retry_after: None },
        10..=19 => Verdict::Refused { status: 400, messages: vec!["no".to_owned()] },
        20..=24 => Verdict::Refused { status: 404, messages: vec!["gone".to_owned()] },
        25..=27 => Verdict::Throttled { retry_after: Some(Duration::from_secs(5)) },
        28..=30 => page(),
        31..=40 if matches!(call.endpoint, Endpoint::BulkUpsert(_)) => Verdict::TooManyJobs,
        _ => Verdict::Done(verdict),
    }
}

fn identify(contact: u8, user: Option<u8>, address: bool) -> ContactWrite {
    let email = email(contact.into());
    let mut write = write(&email, &json!({}));
    write.email = address.then_some(email);
    if let Some(email) = &write.email {
        write.record.fields.insert("emails", email.clone());
    }
    write.user_id = user.map(|user| format!("u{user}"));
    if let Some(user_id) = &write.user_id {
        write.record.fields.insert("external_id", user_id.clone());
    }
    write
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Each plan is that of looking at all that waits.
    #[test]
    fn what_is_filed_is_what_looking_at_everything_finds(
        happenings in prop::collection::vec(happening(), 1..250),
        append in any::<bool>(),
        by_name in any::<bool>(),
        careful in prop::bool::weighted(0.2),
        seed in seeds(),
    ) {
        fastrand::seed(seed);
        let mut now = Instant::now();
        let mut scheduler = scheduler(now).with(|settings| {
            settings.bulk_jobs = 2;
            settings.records.tags = if append { Tags::Append } else { Tags::Replace };
            settings.records.deal_identity = if by_name { DealIdentity::Name } else { DealIdentity::Contact };
            settings.records.links = if careful { Links::Careful } else { Links::Bulk };
        });
        let mut sent: Vec<(u64, Call)> = Vec::new();
        for (number, happening) in happenings.into_iter().enumerate() {
            match happening {
                Happening::Identify { contact, user, address, company, score, deal, tag } => {
                    let mut identify = identify(contact, user, address);
                    if let Some(tag) = tag {
                        identify.record.fields.insert("tags", json!([format!("tag{tag}")]));
                    }
                    identify.company = company.map(|company| {
                        // Upper and lower case are one sales account.
                        let name = if score == 0 { format!("COMPANY {company}") } else { format!("Company {company}") };
                        let mut fields = json!({ "name": name, "score": score });
                        if let Some(tag) = tag.filter(|_| score == 2) {
                            fields["tags"] = json!([format!("tag{tag}")]);
                        }
                        related(&name, &fields)
                    });
                    identify.deal = deal.map(|deal| {
                        let name = format!("Deal {deal}");
                        related(&name, &json!({ "name": name, "amount": number }))
                    });
                    insert_of(&mut scheduler, identify, number as u64);
                }
                Happening::Track { contact, by_user: true } => {
                    track_of(&mut scheduler, Identity::UserId(format!("u{}", contact % 4)));
                }
                Happening::Track { contact, by_user: false } => {
                    track_of(&mut scheduler, Identity::Email(email(contact.into())));
                }
                Happening::Answer { place, mood } if !sent.is_empty() => {
                    let (number, call) = sent.remove(usize::from(place) % sent.len());
                    if mood == 255 {
                        scheduler.aborted(number, now);
                    } else {
                        scheduler.answered(number, answer(&call, mood, 6), &RateLimit::default(), now);
                    }
                }
                Happening::Answer { .. } => {}
                Happening::Pass { seconds } => now += Duration::from_secs(seconds.into()),
                Happening::Lost => {
                    scheduler.give_back();
                    for (number, _) in sent.drain(..) {
                        scheduler.aborted(number, now);
                    }
                    scheduler.give_back();
                    prop_assert!(scheduler.is_empty() && !scheduler.agenda.has_api_work());
                    scheduler.begin();
                }
            }
            while let Next::Send(number, call) = scheduler.next(now) {
                sent.push((number, call));
            }
        }
    }
}
