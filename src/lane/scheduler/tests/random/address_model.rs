//! Random identifies and tracks of a few `userId`s with several addresses each, against a modelled account where
//! `external_id` and addresses are unique and look-ups lag behind.

use crate::freshsales::{Endpoint, UnavailableCause};
use crate::lane::scheduler::tests::by_hand::{self, insert_of, write};
use crate::lane::scheduler::tests::prelude::*;
use crate::mapping::{Activity, Identity};
use crate::object::ObjectText;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone)]
enum Asked {
    /// With which of its addresses, if it says one, and which field it sets.
    Identify {
        user: u8,
        address: Option<u8>,
        field: u8,
    },
    Track {
        user: u8,
    },
}

impl Asked {
    fn user(&self) -> u8 {
        match self {
            Self::Identify { user, .. } | Self::Track { user } => *user,
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let identify = (0u8..4, prop::option::weighted(0.7, 0u8..3), 0u8..3)
        .prop_map(|(user, address, field)| Asked::Identify { user, address, field });
    prop_oneof![3 => identify, 1 => (0u8..4).prop_map(|user| Asked::Track { user })]
}

fn id_of(user: u8) -> String {
    format!("user-{user}")
}

fn own_email(user: u8, address: u8) -> String {
    format!("u{user}a{address}@x.com")
}

/// The last one is everybody's.
fn shared_email(user: u8, address: u8) -> String {
    if address == 2 { "shared@x.com".to_owned() } else { own_email(user, address) }
}

/// Who had the lane before, and how the addresses are given out.
#[derive(Debug, Clone, Copy)]
struct Setting {
    prefetch: usize,
    alone: bool,
    email: fn(u8, u8) -> String,
}

#[derive(Debug, Default)]
struct Contact {
    external_id: Option<String>,
    /// The primary one first.
    emails: Vec<String>,
    fields: Map<String, Value>,
    /// Since when it has each of its names, for look-ups.
    since: BTreeMap<String, Instant>,
}

/// How far look-ups lag behind.
const LAG: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Crm {
    contacts: Vec<Contact>,
    activities: Vec<(String, usize)>,
    jobs: Vec<Vec<(String, bool)>>,
    /// What goes wrong, drawn from in turn.
    moods: Vec<u8>,
    calls: usize,
}

impl Crm {
    fn named(&self, email: &str) -> Option<usize> {
        self.contacts.iter().position(|contact| contact.emails.iter().any(|known| known == email))
    }

    /// All or nothing, as Freshsales refuses.
    fn put(&mut self, place: usize, record: &Map<String, Value>, now: Instant) -> Result<(), ()> {
        let external_id = record.get("external_id").and_then(Value::as_str).map(str::to_owned);
        let taken = |contact: &Contact| contact.external_id.is_some() && contact.external_id == external_id;
        if self.contacts.iter().enumerate().any(|(other, contact)| other != place && taken(contact)) {
            return Err(());
        }
        let emails: Option<Vec<String>> = match record.get("emails") {
            Some(Value::String(email)) => Some(vec![email.clone()]),
            Some(Value::Array(entries)) => {
                let mut entries: Vec<&Value> = entries.iter().collect();
                entries.sort_by_key(|entry| entry["is_primary"] != true);
                Some(entries.iter().map(|entry| entry["value"].as_str().unwrap().to_owned()).collect())
            }
            _ => None,
        };
        let owned = |email: &String| self.named(email).is_some_and(|owner| owner != place);
        if emails.iter().flatten().any(owned) {
            return Err(());
        }
        let contact = &mut self.contacts[place];
        if let Some(mut emails) = emails {
            let kept: Vec<String> =
                contact.emails.iter().filter(|email| !emails.contains(email)).cloned().collect();
            emails.extend(kept);
            contact.emails = emails;
        }
        contact.external_id = external_id.or(contact.external_id.take());
        contact.fields.extend(
            record.iter().filter(|(name, _)| name.starts_with("field")).map(|(n, v)| (n.clone(), v.clone())),
        );
        for name in contact.emails.iter().chain(&contact.external_id) {
            contact.since.entry(name.clone()).or_insert(now);
        }
        Ok(())
    }

    fn upsert(&mut self, email: &str, record: &Map<String, Value>, now: Instant) -> Result<Value, ()> {
        if let Some(place) = self.named(email) {
            self.put(place, record, now)?;
            return Ok(self.shown(place));
        }
        self.contacts.push(Contact { emails: vec![email.to_owned()], ..Contact::default() });
        let place = self.contacts.len() - 1;
        if self.put(place, record, now).is_err() {
            self.contacts.pop();
            return Err(());
        }
        Ok(self.shown(place))
    }

    fn row(&self, place: usize) -> Value {
        let contact = &self.contacts[place];
        let emails: Vec<Value> = contact
            .emails
            .iter()
            .enumerate()
            .map(|(at, email)| json!({ "id": 100 * place + at + 1, "value": email, "is_primary": at == 0 }))
            .collect();
        json!({ "id": place + 1, "external_id": contact.external_id, "emails": emails, "sales_accounts": [] })
    }

    fn shown(&self, place: usize) -> Value {
        json!({ "contact": self.row(place) })
    }

    fn effect(&mut self, now: Instant, call: &Call) -> Verdict {
        let body = call.json();
        let done = match call.endpoint {
            Endpoint::Upsert(Entity::Contact) => {
                let email = body["unique_identifier"]["emails"].as_str().unwrap().to_owned();
                self.upsert(&email, body["contact"].as_object().unwrap(), now)
            }
            Endpoint::BulkUpsert(Entity::Contact) => {
                let mut rows = Vec::new();
                for row in body["contacts"].as_array().unwrap() {
                    let email = row["emails"].as_str().unwrap().to_owned();
                    let failed = self.upsert(&email, row["data"].as_object().unwrap(), now).is_err();
                    rows.push((email, failed));
                }
                self.jobs.push(rows);
                Ok(json!({ "job_status_url": format!("https://x/api/job_statuses/{}", self.jobs.len() - 1) }))
            }
            Endpoint::JobStatus => {
                let number: usize = call.path.rsplit('/').next().unwrap().parse().unwrap();
                let rows = &self.jobs[number];
                let failed: Vec<Value> = rows
                    .iter()
                    .filter(|(_, failed)| *failed)
                    .map(|(email, _)| json!({ "record": { "emails": email }, "message": ["n'est pas unique"] }))
                    .collect();
                Ok(by_hand::report((rows.len() - failed.len()) as u64, &failed))
            }
            Endpoint::ContactRead | Endpoint::ContactUpdate => {
                let id: usize = call.path.rsplit('/').next().unwrap().parse().unwrap();
                match body["contact"].as_object() {
                    Some(record) => self.put(id - 1, &record.clone(), now).map(|()| self.shown(id - 1)),
                    None => Ok(self.shown(id - 1)),
                }
            }
            Endpoint::Lookup => {
                let asked =
                    |name: &str| call.query.iter().find(|(key, _)| *key == name).unwrap().1.to_string();
                let (field, value) = (asked("f"), asked("q"));
                let matches = |contact: &Contact| match &*field {
                    "email" => contact.emails.contains(&value),
                    _ => contact.external_id.as_ref() == Some(&value),
                };
                let seen = |contact: &Contact| contact.since.get(&value).is_some_and(|at| *at + LAG <= now);
                let found: Vec<Value> = (0..self.contacts.len())
                    .filter(|place| matches(&self.contacts[*place]) && seen(&self.contacts[*place]))
                    .map(|place| self.row(place))
                    .collect();
                Ok(json!({ "contacts": { "contacts": found } }))
            }
            Endpoint::TrackEvent => {
                let name = body["event"]["name"].as_str().unwrap().parse().unwrap();
                self.activities.push((body["identifier"].as_str().unwrap().to_owned(), name));
                Ok(Value::Null)
            }
            Endpoint::Fields(_) | Endpoint::Selector(_) => Ok(json!({ "fields": [] })),
            Endpoint::Search(_)
            | Endpoint::Upsert(Entity::SalesAccount | Entity::Deal)
            | Endpoint::BulkUpsert(Entity::SalesAccount | Entity::Deal)
            | Endpoint::SalesAccountRead
            | Endpoint::SalesAccountUpdate
            | Endpoint::DealRead
            | Endpoint::DealCreate
            | Endpoint::DealUpdate
            | Endpoint::TrackPageView => unreachable!("not asked for"),
        };
        match done {
            Ok(body) => Verdict::Done(body),
            Err(()) => Verdict::Refused { status: 400, messages: vec!["n'est pas unique".to_owned()] },
        }
    }

    fn answer(&mut self, now: Instant, call: &Call) -> Verdict {
        self.calls += 1;
        let mood = if self.calls > 2000 { 255 } else { self.moods[self.calls % self.moods.len()] };
        let unavailable = Verdict::Unavailable { cause: UnavailableCause::Timeout, retry_after: None };
        match mood {
            0..=9 => unavailable,
            10..=19 => {
                // It took effect, and the answer was lost.
                self.effect(now, call);
                unavailable
            }
            _ => self.effect(now, call),
        }
    }
}

/// Lets all events in as there is room, and runs until nothing is left; tells how each ended.
fn run(events: &[Asked], crm: &mut Crm, setting: Setting) -> Vec<Vec<Outcome>> {
    let Setting { prefetch, alone, email } = setting;
    let start = Instant::now();
    let mut scheduler: Scheduler<u64> = by_hand::scheduler(start);
    if alone {
        scheduler.begin_alone(start);
    } else {
        scheduler.begin();
    }
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); events.len()];
    let mut answers: BTreeMap<(Instant, u64), Verdict> = BTreeMap::new();
    let mut queue: VecDeque<usize> = (0..events.len()).collect();
    let mut now = start;
    for _ in 0..100_000 {
        while scheduler.len() < prefetch
            && let Some(next) = queue.pop_front()
        {
            let (delivery, user_id) = (next as u64, id_of(events[next].user()));
            match &events[next] {
                Asked::Identify { user, address, field } => {
                    let mut write =
                        write("", &json!({ format!("field_{field}"): next, "external_id": user_id }));
                    write.email = address.map(|address| email(*user, address));
                    write.user_id = Some(user_id);
                    if let Some(email) = &write.email {
                        write.record.fields.insert("emails", json!(email));
                    }
                    insert_of(&mut scheduler, write, delivery);
                }
                Asked::Track { .. } => {
                    let identity = Identity::UserId(user_id.clone());
                    let activity =
                        Activity { identity, name: next.to_string(), properties: ObjectText::default() };
                    scheduler.insert(Mapped::Track(activity), &[ContactKey::UserId(user_id)], None, delivery);
                }
            }
        }
        let wake = loop {
            match scheduler.next(now) {
                Next::Send(number, call) => {
                    let verdict = crm.answer(now, &call);
                    answers.insert((now + Duration::from_millis(200 + number % 7 * 100), number), verdict);
                }
                Next::Wait(wake) => break wake,
            }
        };
        let mut effects = scheduler.take_ended();
        if scheduler.is_empty() && queue.is_empty() && effects.is_empty() {
            return outcomes;
        }
        let answer = answers.first_key_value().map(|((at, _), _)| *at);
        if effects.is_empty() {
            let next = [wake, answer].into_iter().flatten().min();
            now = next.unwrap_or_else(|| panic!("stuck: {scheduler:#?}")).max(now);
        }
        while let Some(entry) = answers.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, number), verdict) = entry.remove_entry();
            effects.extend(scheduler.answered(number, verdict, &RateLimit::default(), now));
        }
        for effect in effects {
            if let Effect::Settled { delivery, outcome, .. } = effect {
                outcomes[usize::try_from(delivery).unwrap()].push(outcome);
            }
        }
    }
    panic!("does not end: {scheduler:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// However the addresses of a `userId` change, it stays one contact: it has the last address as its primary one,
    /// keeps all others, and holds what its identifies wrote in their order. Each track is reported, in its place in
    /// the queue, under the address of that time.
    #[test]
    fn a_userid_stays_one_contact_through_all_its_addresses(
        events in prop::collection::vec(asked(), 1..60),
        moods in prop::collection::vec(any::<u8>(), 50..150),
        prefetch in 1usize..40,
        alone in any::<bool>(),
        seed in seeds(),
    ) {
        fastrand::seed(seed);
        let mut crm = Crm { moods, ..Crm::default() };
        let email = own_email;
        let outcomes = run(&events, &mut crm, Setting { prefetch, alone, email });
        let mut tracked: Vec<(String, usize)> = Vec::new();
        for activity in &crm.activities {
            // One whose answer was lost is sent again.
            if !tracked.contains(activity) {
                tracked.push(activity.clone());
            }
        }
        for user in 0..4u8 {
            let (mut fields, mut emails, mut tracks) = (Map::new(), Vec::<String>::new(), Vec::new());
            for (number, event) in events.iter().enumerate().filter(|(_, event)| event.user() == user) {
                prop_assert_eq!(outcomes[number].len(), 1, "event {} ended {:?}", number, &outcomes[number]);
                match event {
                    Asked::Track { .. } => tracks.push((number, emails.first().cloned())),
                    Asked::Identify { address: None, .. } if emails.is_empty() => {
                        let missing = matches!(&outcomes[number][0], Outcome::DeadLetter(refusal)
                            if refusal.reason == crate::outcome::DeadLetterReason::MissingEmail);
                        prop_assert!(missing, "{:?}", &outcomes[number]);
                        continue;
                    }
                    Asked::Identify { address, field, .. } => {
                        if let Some(address) = address.map(|address| email(user, address)) {
                            emails.retain(|known| *known != address);
                            emails.insert(0, address);
                        }
                        fields.insert(format!("field_{field}"), json!(number));
                    }
                }
                prop_assert_eq!(&outcomes[number][0], &Outcome::Delivered, "event {}", number);
            }
            let own: Vec<&Contact> = crm
                .contacts
                .iter()
                .filter(|contact| contact.emails.iter().any(|email| email.starts_with(&format!("u{user}a"))))
                .collect();
            prop_assert_eq!(own.len(), usize::from(!emails.is_empty()), "{:?}", own);
            for contact in own {
                prop_assert_eq!(contact.external_id.as_deref(), Some(&*id_of(user)));
                prop_assert_eq!(&contact.fields, &fields);
                prop_assert_eq!(contact.emails.first(), emails.first());
                prop_assert_eq!(contact.emails.len(), emails.len());
            }
            let of_user: Vec<&(String, usize)> =
                tracked.iter().filter(|(_, number)| events[*number].user() == user).collect();
            prop_assert_eq!(of_user.len(), tracks.len());
            for ((identifier, number), (queued, address)) in of_user.into_iter().zip(tracks) {
                prop_assert_eq!(*number, queued);
                if let Some(address) = address {
                    prop_assert_eq!(identifier, &address, "track {}", number);
                }
            }
        }
    }

    /// Also where several `userId`s come with one address, every identify that says an address is delivered.
    #[test]
    fn an_address_that_several_userids_claim_refuses_none_of_them(
        events in prop::collection::vec(asked(), 1..60),
        moods in prop::collection::vec(any::<u8>(), 50..150),
        prefetch in 1usize..40,
        alone in any::<bool>(),
        seed in seeds(),
    ) {
        fastrand::seed(seed);
        let mut crm = Crm { moods, ..Crm::default() };
        let outcomes = run(&events, &mut crm, Setting { prefetch, alone, email: shared_email });
        for (number, event) in events.iter().enumerate() {
            prop_assert_eq!(outcomes[number].len(), 1, "event {} ended {:?}", number, &outcomes[number]);
            if !matches!(event, Asked::Identify { address: None, .. }) {
                prop_assert_eq!(&outcomes[number][0], &Outcome::Delivered, "event {}", number);
            }
        }
        for (place, contact) in crm.contacts.iter().enumerate() {
            let others = crm.contacts.iter().skip(place + 1);
            let clash = |other: &Contact| contact.external_id.is_some() && other.external_id == contact.external_id;
            prop_assert!(!others.clone().any(clash));
            prop_assert!(others.clone().all(|other| other.emails.iter().all(|email| !contact.emails.contains(email))));
        }
    }
}
