//! Random events against a modelled account that refuses, fails, throttles and reports as it likes.

use crate::freshsales::{Answer, Endpoint, UnavailableCause};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::{Activity, ContactWrite, Identity, Record, RelatedWrite};
use crate::object::ObjectText;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone)]
struct Asked {
    contact: u8,
    /// `None` is a track.
    identify: Option<Identify>,
}

#[derive(Debug, Clone)]
struct Identify {
    field: u8,
    bad: bool,
    /// A firewall does not let it through.
    walled: bool,
    company: Option<u8>,
    deal: Option<u8>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let identify = (
        0u8..3,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.4, 0u8..3),
        prop::option::weighted(0.3, 0u8..3),
    )
        .prop_map(|(field, bad, walled, company, deal)| Identify { field, bad, walled, company, deal });
    (0u8..6, prop::option::weighted(0.7, identify)).prop_map(|(contact, mut identify)| {
        if let Some(identify) = &mut identify {
            // Were it several contacts, it might be everybody.
            identify.walled &= contact == 0 && !identify.bad;
        }
        Asked { contact, identify }
    })
}

fn email(contact: u8) -> String {
    format!("c{contact}@example.com")
}

fn mapped(number: usize, asked: &Asked) -> Mapped {
    let email = email(asked.contact);
    let Some(identify) = &asked.identify else {
        let properties = ObjectText::default();
        return Mapped::Track(Activity {
            identity: Identity::Email(email),
            name: number.to_string(),
            properties,
        });
    };
    let mut record = Record::default();
    record.fields.insert("emails", Value::from(email.clone()));
    record.fields.insert(format!("field_{}", identify.field), Value::from(number));
    if identify.bad {
        record.fields.insert("bad", Value::from(true));
    }
    if identify.walled {
        record.fields.insert("walled", Value::from(true));
    }
    let related = |kind: &str, name: u8| {
        let name = format!("{kind} {name}");
        let mut record = Record::default();
        record.fields.insert("name", Value::from(name.clone()));
        RelatedWrite { name, record }
    };
    Mapped::Contact(Box::new(ContactWrite {
        email: Some(email),
        user_id: None,
        record,
        company: identify.company.map(|company| related("Company", company)),
        deal: identify.deal.map(|deal| related("Deal", deal)),
    }))
}

/// A record of a job, and why it failed.
type Row = (String, Option<&'static str>);

/// An account as the sandbox is one, without the network.
#[derive(Default)]
pub(super) struct Crm {
    contacts: BTreeMap<String, Map<String, Value>>,
    ids: Vec<String>,
    links: BTreeMap<String, Vec<i64>>,
    accounts: Vec<String>,
    /// Names, which several may have, and contacts; the place makes the id.
    deals: Vec<(String, BTreeSet<i64>)>,
    activities: Vec<(String, usize)>,
    jobs: HashMap<String, (Instant, Vec<Row>)>,
    /// What goes wrong, drawn from in turn.
    moods: Vec<u8>,
    calls: usize,
}

impl Crm {
    pub(super) fn with_moods(moods: Vec<u8>) -> Self {
        Self { moods, ..Self::default() }
    }

    fn mood(&mut self) -> u8 {
        self.calls += 1;
        // It calms down in the end, or nothing would ever end.
        if self.calls > 3000 { 255 } else { self.moods[self.calls % self.moods.len()] }
    }

    fn id(&mut self, email: &str) -> i64 {
        let index = self.ids.iter().position(|known| known == email).unwrap_or_else(|| {
            self.ids.push(email.to_owned());
            self.ids.len() - 1
        });
        i64::try_from(index).unwrap() + 1
    }

    fn upsert(
        &mut self,
        entity: Entity,
        name: &str,
        record: &Map<String, Value>,
    ) -> Result<Value, &'static str> {
        match entity {
            Entity::Contact => {
                if record.contains_key("bad") {
                    return Err("Bad is not allowed");
                }
                let id = self.id(name);
                let mut values = record.clone();
                values.remove("sales_accounts");
                self.contacts.entry(name.to_owned()).or_default().extend(values);
                if let Some(links) = record.get("sales_accounts") {
                    self.link(name, links);
                }
                Ok(self.contact(id, name))
            }
            Entity::SalesAccount => {
                let index = self.accounts.iter().position(|known| known == name).unwrap_or_else(|| {
                    self.accounts.push(name.to_owned());
                    self.accounts.len() - 1
                });
                Ok(json!({ "sales_account": { "id": 100 + index } }))
            }
            Entity::Deal => {
                let id: i64 = name.parse().expect("a deal is not known by its name alone");
                Ok(self.deal(Some(id), record))
            }
        }
    }

    /// Replaces all links of a contact.
    fn link(&mut self, name: &str, links: &Value) {
        let links: Vec<i64> =
            links.as_array().unwrap().iter().filter_map(|link| link["id"].as_i64()).collect();
        let before = self.links.get(name).cloned().unwrap_or_default();
        assert!(before.iter().all(|id| links.contains(id)), "a link was lost");
        assert!(links.iter().filter(|id| **id == links[0]).count() == 1, "a link twice");
        self.links.insert(name.to_owned(), links);
    }

    /// Writes a deal, a new one if it has no id.
    fn deal(&mut self, id: Option<i64>, record: &Map<String, Value>) -> Value {
        let id = id.unwrap_or_else(|| {
            self.deals.push((record["name"].as_str().unwrap().to_owned(), BTreeSet::new()));
            i64::try_from(self.deals.len()).unwrap()
        });
        let added = record["contacts_added_list"].as_array().unwrap();
        let (_, contacts) = &mut self.deals[usize::try_from(id).unwrap() - 1];
        contacts.extend(added.iter().filter_map(Value::as_i64));
        json!({ "deal": { "id": id } })
    }

    fn contact(&self, id: i64, name: &str) -> Value {
        let links: Vec<Value> = self
            .links
            .get(name)
            .into_iter()
            .flatten()
            .map(|id| json!({ "id": id, "is_primary": false }))
            .collect();
        let deals: Vec<Value> = (1..)
            .zip(&self.deals)
            .filter(|(_, (_, contacts))| contacts.contains(&id))
            .map(|(id, (name, _)): (i64, _)| json!({ "id": id, "name": name }))
            .collect();
        json!({ "contact": { "id": id, "sales_accounts": links }, "deals": deals })
    }

    fn effect(&mut self, now: Instant, call: &Call) -> Verdict {
        let body = call.json();
        if body.to_string().contains("walled") {
            return page();
        }
        let done = match call.endpoint {
            Endpoint::Upsert(entity) => {
                let identifier = body["unique_identifier"].as_object().unwrap().values().next().unwrap();
                let record = body[entity.singular()].as_object().unwrap();
                self.upsert(entity, identifier.as_str().unwrap(), record)
            }
            Endpoint::BulkUpsert(entity) => {
                let mut results = Vec::new();
                for row in body[entity.plural()].as_array().unwrap() {
                    let name =
                        row.get("emails").or(row.get("name")).or(row.get("id")).unwrap().as_str().unwrap();
                    let failed = self.upsert(entity, name, row["data"].as_object().unwrap()).err();
                    results.push((name.to_owned(), failed));
                }
                let names: BTreeSet<_> = results.iter().map(|(name, _)| name).collect();
                assert_eq!(names.len(), results.len(), "a record twice in one call");
                let job = self.jobs.len().to_string();
                self.jobs.insert(job.clone(), (now + Duration::from_secs(5), results));
                Ok(json!({ "job_status_url": format!("https://x/api/job_statuses/{job}") }))
            }
            Endpoint::JobStatus => {
                let (end, results) = &self.jobs[call.path.rsplit('/').next().unwrap()];
                Ok(job_status(*end <= now, results, self.moods[results.len() % self.moods.len()]))
            }
            Endpoint::ContactRead | Endpoint::ContactUpdate => {
                let id: i64 = call.path.rsplit('/').next().unwrap().parse().unwrap();
                let name = self.ids[usize::try_from(id).unwrap() - 1].clone();
                if body["contact"].get("sales_accounts").is_some() {
                    self.link(&name, &body["contact"]["sales_accounts"]);
                }
                Ok(self.contact(id, &name))
            }
            Endpoint::Search(Entity::Contact) => {
                let asked = body["filter_rule"][0]["value"].as_array().unwrap();
                let known =
                    asked.iter().filter_map(Value::as_str).filter(|name| self.contacts.contains_key(*name));
                let rows = known.map(|name| {
                    let id = self.ids.iter().position(|known| known == name).unwrap();
                    let shown = self.contact(i64::try_from(id).unwrap() + 1, name);
                    let mut row = shown["contact"].clone();
                    row["email"] = name.into();
                    row["deals"] = shown["deals"].clone();
                    row
                });
                Ok(json!({ "contacts": rows.collect::<Vec<_>>() }))
            }
            Endpoint::Search(_) => {
                let rows = (100..).zip(&self.accounts).map(|(id, name)| json!({ "id": id, "name": name }));
                Ok(json!({ "sales_accounts": rows.collect::<Vec<_>>() }))
            }
            Endpoint::DealCreate => Ok(self.deal(None, body["deal"].as_object().unwrap())),
            Endpoint::DealUpdate => {
                let id = call.path.rsplit('/').next().unwrap().parse().unwrap();
                Ok(self.deal(Some(id), body["deal"].as_object().unwrap()))
            }
            Endpoint::TrackEvent => {
                let name = body["event"]["name"].as_str().unwrap().parse().unwrap();
                self.activities.push((body["identifier"].as_str().unwrap().to_owned(), name));
                Ok(Value::Null)
            }
            Endpoint::Fields(_) | Endpoint::Selector(_) => Ok(json!({ "fields": [] })),
            Endpoint::Lookup
            | Endpoint::SalesAccountRead
            | Endpoint::SalesAccountUpdate
            | Endpoint::DealRead
            | Endpoint::TrackPageView => {
                unreachable!("not asked for")
            }
        };
        match done {
            Ok(body) => Verdict::Done(body),
            Err(message) => Verdict::Refused { status: 400, messages: vec![message.to_owned()] },
        }
    }

    pub(super) fn answer(&mut self, now: Instant, call: &Call) -> Verdict {
        let unavailable = Verdict::Unavailable { cause: UnavailableCause::Timeout, retry_after: None };
        match self.mood() {
            0..=9 => unavailable,
            10..=19 => {
                // It took effect, and the answer was lost.
                self.effect(now, call);
                unavailable
            }
            20..=24 => Verdict::Throttled { retry_after: Some(Duration::from_secs(10)) },
            25..=27 => Verdict::Throttled { retry_after: None },
            28..=30 => Verdict::Unauthorized { status: 401 },
            40..=42 => page(),
            31..=33 if matches!(call.endpoint, Endpoint::JobStatus | Endpoint::BulkUpsert(_)) => {
                Verdict::Refused { status: 404, messages: vec!["gone".to_owned()] }
            }
            37..=45 if matches!(call.endpoint, Endpoint::BulkUpsert(_)) => Verdict::TooManyJobs,
            34..=36 if matches!(call.endpoint, Endpoint::BulkUpsert(_)) => {
                Verdict::Done(json!({ "message": "what?" }))
            }
            _ => self.effect(now, call),
        }
    }
}

pub(super) fn page() -> Verdict {
    let answer = Answer {
        status: 403,
        rate_limit: RateLimit::default(),
        retry_after: None,
        body: crate::freshsales::Body::Markup,
    };
    crate::freshsales::classify(Endpoint::Lookup, Ok(answer))
}

/// The report in one of the forms it may have.
fn job_status(ended: bool, results: &[Row], mood: u8) -> Value {
    if !ended || mood < 10 {
        return json!({ "status": "IN_PROGRESS" });
    }
    let failed: Vec<_> = results.iter().filter_map(|(name, failed)| Some((name, (*failed)?))).collect();
    let rows: Vec<Value> = match mood {
        10..=60 => Vec::new(),
        61..=90 => failed.iter().map(|_| json!({ "message": "something" })).collect(),
        _ => failed
            .iter()
            .map(|(name, why)| json!({ "record": { "emails": name }, "message": [why] }))
            .collect(),
    };
    let data = json!({
        "record_status": { "succeeded": results.len() - failed.len(), "failed": failed.len() },
        "detailed_failure_report": rows,
    });
    json!({ "status": "SUCCESS", "data": data.to_string() })
}

/// Feeds all events and runs until nothing is left; returns how each ended.
/// At some turns the session is lost: some calls end, others are broken off, and what is not settled goes back and
/// comes again in order. Then nothing is sent for a while.
fn run(events: &[Asked], crm: &mut Crm, prefetch: usize, losses: &[usize]) -> Vec<Vec<Outcome>> {
    let start = Instant::now();
    let quota = |calls| Quota::new(calls, Duration::from_hours(1), 0.9, start);
    let mut scheduler: Scheduler<usize> =
        Scheduler::new(SchedulerSettings::new(4, BackoffSettings::default()), quota(500.0), quota(500.0))
            .with(|settings| settings.bulk_jobs = 2);
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); events.len()];
    let mut answers: BTreeMap<(Instant, u64), Verdict> = BTreeMap::new();
    let mut now = start;
    let mut queue: VecDeque<usize> = (0..events.len()).collect();
    let mut again: BTreeSet<usize> = BTreeSet::new();
    let mut quiet: Option<Instant> = None;
    for turn in 0..200_000 {
        if losses.contains(&turn) {
            let mut back = scheduler.give_back();
            while let Some(((at, number), verdict)) = answers.pop_first() {
                if number % 3 == 0 {
                    scheduler.aborted(number, now);
                    continue;
                }
                now = now.max(at);
                for effect in scheduler.answered(number, verdict, &RateLimit::default(), now) {
                    if let Effect::Settled { delivery, outcome, .. } = effect {
                        outcomes[delivery].push(outcome);
                    }
                }
            }
            back.extend(scheduler.give_back());
            assert!(scheduler.is_empty() && scheduler.sending() == 0, "{scheduler:#?}");
            assert!(scheduler.items.is_empty() && scheduler.calls.is_empty() && scheduler.locks.is_empty());
            again = back.iter().copied().collect();
            queue.extend(back);
            queue.make_contiguous().sort_unstable();
            scheduler.begin();
            quiet = None;
        }
        while scheduler.len() < prefetch
            && let Some(next) = queue.pop_front()
        {
            let key = ContactKey::Email(email(events[next].contact));
            if again.contains(&next) {
                scheduler.redelivered(now);
                quiet.get_or_insert(now + TAKE_OVER_DELAY);
            }
            scheduler.insert(mapped(next, &events[next]), &[key], None, next);
        }
        let wake = loop {
            match scheduler.next(now) {
                Next::Send(number, call) => {
                    let harmless = matches!(call.endpoint, Endpoint::Fields(_));
                    assert!(harmless || quiet.is_none_or(|until| now >= until), "sent while taking over");
                    let verdict = crm.answer(now, &call);
                    answers.insert((now + Duration::from_millis(200 + number % 7 * 100), number), verdict);
                }
                Next::Wait(wake) => break wake,
            }
        };
        if scheduler.is_empty() && queue.is_empty() {
            return outcomes;
        }
        let answer = answers.first_key_value().map(|((at, _), _)| *at);
        let next = [wake, answer].into_iter().flatten().min();
        now = next.unwrap_or_else(|| panic!("stuck: {scheduler:#?}")).max(now);
        while let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, number), verdict) = entry.remove_entry();
            for effect in scheduler.answered(number, verdict, &RateLimit::default(), now) {
                if let Effect::Settled { delivery, outcome, .. } = effect {
                    outcomes[delivery].push(outcome);
                }
            }
        }
    }
    panic!("does not end: {scheduler:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Every event ends exactly once, only the bad ones as dead letters, and each contact ends up as if its events
    /// had been written one after another, whatever goes wrong on the way.
    #[test]
    fn every_event_ends_once_and_each_contact_s_order_holds(
        events in prop::collection::vec(asked(), 1..120),
        moods in prop::collection::vec(any::<u8>(), 50..200),
        prefetch in 1usize..100,
        losses in prop::collection::vec(1usize..60, 0..4),
        seed in seeds(),
    ) {
        fastrand::seed(seed);
        let mut crm = Crm::with_moods(moods);
        let outcomes = run(&events, &mut crm, prefetch, &losses);
        let mut expected: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        for (number, asked) in events.iter().enumerate() {
            let bad = asked.identify.as_ref().is_some_and(|identify| identify.bad);
            let walled = asked.identify.as_ref().is_some_and(|identify| identify.walled);
            prop_assert_eq!(outcomes[number].len(), 1, "event {} ended {:?}", number, outcomes[number]);
            match &outcomes[number][0] {
                Outcome::Delivered => prop_assert!(!bad && !walled),
                Outcome::DeadLetter(refusal) if walled => {
                    let said = refusal.problems[0].problem.as_str();
                    prop_assert!(said.starts_with("the contact was answered with a web page with status 403"), "{said}");
                }
                Outcome::DeadLetter(refusal) => {
                    prop_assert!(bad);
                    prop_assert_eq!(refusal.problems[0].problem.as_str(), "Freshsales refused the contact: Bad is not allowed");
                }
                other @ (Outcome::Skipped(_) | Outcome::Returned) => prop_assert!(false, "{other:?}"),
            }
            let email = email(asked.contact);
            if let Some(identify) = asked.identify.as_ref().filter(|identify| !identify.bad && !identify.walled) {
                let Mapped::Contact(write) = mapped(number, asked) else { unreachable!() };
                expected.entry(email.clone()).or_default().extend(write.record.fields.values());
                if let Some(company) = identify.company {
                    let index = crm.accounts.iter().position(|name| *name == format!("Company {company}"));
                    let id = 100 + i64::try_from(index.unwrap()).unwrap();
                    prop_assert!(crm.links[&email].contains(&id));
                }
                if let Some(deal) = identify.deal {
                    let id = crm.id(&email);
                    let name = format!("Deal {deal}");
                    let own = crm.deals.iter().filter(|(other, contacts)| *other == name && contacts.contains(&id));
                    prop_assert_eq!(own.count(), 1);
                }
            }
        }
        prop_assert_eq!(&crm.contacts, &expected);
        prop_assert!(crm.deals.iter().all(|(_, contacts)| contacts.len() == 1), "two customers' deals met");
        for contact in 0u8..6 {
            let mut tracked: Vec<usize> =
                crm.activities.iter().filter(|(who, _)| *who == email(contact)).map(|(_, number)| *number).collect();
            tracked.dedup();
            let queued: Vec<usize> = events
                .iter()
                .enumerate()
                .filter(|(_, asked)| asked.contact == contact && asked.identify.is_none())
                .map(|(number, _)| number)
                .collect();
            prop_assert_eq!(tracked, queued);
        }
    }
}

#[test]
fn a_hundred_contacts_that_wait_together_go_in_one_call() {
    let start = Instant::now();
    let quota = || Quota::new(1000.0, Duration::from_hours(1), 0.9, start);
    let mut scheduler: Scheduler<u8> =
        Scheduler::new(SchedulerSettings::new(8, BackoffSettings::default()), quota(), quota());
    for contact in 0..100 {
        let asked = Asked {
            contact,
            identify: Some(Identify { field: 0, bad: false, walled: false, company: None, deal: None }),
        };
        scheduler.insert(mapped(0, &asked), &[ContactKey::Email(email(contact))], None, contact);
    }
    let Next::Send(_, call) = scheduler.next(start) else { panic!("nothing to send") };
    assert_eq!((call.endpoint, call.records()), (Endpoint::BulkUpsert(Entity::Contact), 100));
    assert!(matches!(scheduler.next(start), Next::Wait(None)));
}
