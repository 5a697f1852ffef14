//! What became of every event, against what must have become of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use lapin::message::Delivery;
use serde_json::Value;

use crate::model::{Contact, Fate, Ledger};
use crate::producers::ID;
use crate::support::header;
use crate::world::World;

/// Everything that is wrong, and counts of what is allowed.
#[derive(Debug, Default)]
pub struct Verdict {
    pub lost: Vec<String>,
    pub reordered: Vec<String>,
    pub unexpected: Vec<String>,
    /// Activities that must be there, and how often one is there again.
    pub activities: usize,
    pub repeated: usize,
    pub letters: usize,
    pub repeated_letters: usize,
}

impl Verdict {
    pub fn of(ledger: &Ledger, world: &World, letters: &[Delivery]) -> Self {
        let mut verdict = Self::default();
        for (account, site) in world.sites.iter().enumerate() {
            let state = site.sandbox.state();
            verdict.judge_activities(ledger, account, &state);
            verdict.judge_contacts(ledger, account, &state);
        }
        verdict.judge_letters(ledger, letters);
        verdict
    }

    pub fn holds(&self) -> bool {
        self.lost.is_empty() && self.reordered.is_empty() && self.unexpected.is_empty()
    }

    /// Each is there; the first time each came, in order. A repeat may only follow what it repeats.
    fn judge_activities(&mut self, ledger: &Ledger, account: usize, state: &Value) {
        let mut arrived: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for activity in state["activities"].as_array().unwrap() {
            let id = activity["properties"]["id"].as_str().unwrap_or("without an id");
            let Some(expected) = ledger.events.get(id).filter(|expected| expected.fate == Fate::Tracked)
            else {
                self.unexpected.push(format!("activity {activity}"));
                continue;
            };
            let contact = &ledger.contacts[expected.contact];
            let reported = activity["identifier"].as_str().unwrap_or_default();
            if contact.account != account || !contact.is_known_as(reported) {
                self.unexpected
                    .push(format!("activity {id} of {} as {}", contact.email, activity["identifier"]));
            }
            arrived.entry(expected.contact).or_default().push(expected.number);
        }
        for (contact, numbers) in &arrived {
            let mut seen = BTreeSet::new();
            for number in numbers {
                if seen.last().is_some_and(|last| number < last) && !seen.contains(number) {
                    self.reordered.push(format!("activity {contact}.{number} came late: {numbers:?}"));
                }
                if !seen.insert(*number) {
                    self.repeated += 1;
                }
            }
        }
        for (id, expected) in &ledger.events {
            if expected.fate == Fate::Tracked && ledger.contacts[expected.contact].account == account {
                self.activities += 1;
                if !arrived.get(&expected.contact).is_some_and(|numbers| numbers.contains(&expected.number)) {
                    self.lost.push(format!("activity {id}"));
                }
            }
        }
    }

    fn judge_contacts(&mut self, ledger: &Ledger, account: usize, state: &Value) {
        let by = |list: &str, key: &str| -> HashMap<String, Value> {
            let records = state[list].as_array().unwrap().iter();
            records
                .map(|record| (record[key].as_str().unwrap_or_default().to_owned(), record.clone()))
                .collect()
        };
        let mut found = by("contacts", "email");
        let mut companies = by("sales_accounts", "name");
        let expected = ledger.contacts.iter().enumerate();
        for (number, contact) in
            expected.filter(|(_, contact)| contact.account == account && contact.last.is_some())
        {
            match found.remove(&contact.email) {
                Some(record) => self.judge_contact(ledger, number, contact, &record, &mut companies),
                None => self.lost.extend(
                    contact.marks.values().map(|event| format!("identify {number}.{event}, and its contact")),
                ),
            }
        }
        let loose =
            |email: &String| ledger.contacts.iter().any(|contact| contact.loose && contact.email == *email);
        self.unexpected
            .extend(found.keys().filter(|email| !loose(email)).map(|email| format!("contact {email}")));
        self.unexpected.extend(companies.keys().map(|name| format!("sales account {name}")));
    }

    fn judge_contact(
        &mut self,
        ledger: &Ledger,
        number: usize,
        contact: &Contact,
        record: &Value,
        companies: &mut HashMap<String, Value>,
    ) {
        let mut marks = BTreeMap::new();
        for (field, value) in record["custom_field"].as_object().unwrap() {
            match field.strip_prefix("cf_mark_").and_then(|mark| mark.parse::<usize>().ok()) {
                Some(mark) => _ = marks.insert(mark, value.clone()),
                None => self.unexpected.push(format!("{field} of contact {number}")),
            }
        }
        for (mark, event) in &contact.marks {
            match marks.remove(mark) {
                Some(value) if value == *event => {}
                Some(value) => self.unexpected.push(format!("mark {mark} of contact {number} is {value}")),
                None => self.lost.push(format!("identify {number}.{event}")),
            }
        }
        self.unexpected.extend(marks.keys().map(|mark| format!("mark {mark} of contact {number}")));

        let last = contact.last.map(|last| last.to_string());
        if record["job_title"].as_str() != last.as_deref() {
            let (shown, changed) = (&record["job_title"], &record["updated_at"]);
            let name = ledger.accounts[contact.account].name.as_str();
            let mut description =
                format!("contact {number} of {name} shows {shown} since {changed}, last was {last:?}:");
            for event in contact.marks.values().rev().take(6).rev() {
                let confirmed = ledger.times.get(&format!("{number}.{event}"));
                write!(description, " {event} confirmed {confirmed:?},").unwrap();
            }
            self.reordered.push(description);
        }
        let addresses = record["emails"].to_string();
        for (event, email) in contact.earlier.iter().filter(|(_, email)| !addresses.contains(email.as_str()))
        {
            self.lost
                .push(format!("address {email} of contact {number}, which event {event} made an older one"));
        }
        let external = contact.opaque.then_some(contact.user_id.as_str());
        if record["external_id"].as_str() != external {
            self.unexpected.push(format!("contact {number} has the external id {}", record["external_id"]));
        }
        let linked: Vec<&str> = record["sales_accounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|link| link["name"].as_str())
            .collect();
        let company = contact.score.map(|_| contact.company());
        if linked != company.iter().map(String::as_str).collect::<Vec<_>>() {
            self.unexpected.push(format!("contact {number} is linked to {linked:?}, not {company:?}"));
        }
        if let (Some(name), Some(score)) = (company, contact.score) {
            match companies.remove(&name) {
                None => self.lost.push(name),
                Some(record) if record["custom_field"]["cf_health_score"] == score => {}
                Some(record) => {
                    let shown = &record["custom_field"]["cf_health_score"];
                    self.reordered.push(format!("{name} shows {shown}, last was {score}"));
                }
            }
        }
    }

    fn judge_letters(&mut self, ledger: &Ledger, letters: &[Delivery]) {
        let mut buried: BTreeSet<String> = BTreeSet::new();
        for letter in letters {
            // Where headers left no room for the id, the body has it.
            let id = header(letter, ID).or_else(|| message_id(&letter.data)).unwrap_or_default();
            let reason = header(letter, "freshet-reason").unwrap_or_else(|| letter.routing_key.to_string());
            match ledger.events.get(&id).map(|expected| expected.fate) {
                Some(Fate::Dead(expected)) if expected == reason => {
                    self.repeated_letters += usize::from(!buried.insert(id));
                }
                other => {
                    self.unexpected.push(format!("dead letter {id}, {reason}, where {other:?} is right"));
                }
            }
        }
        self.letters = buried.len();
        for (id, expected) in &ledger.events {
            if matches!(expected.fate, Fate::Dead(_)) && !buried.contains(id) {
                self.lost.push(format!("dead letter {id}, {:?}", expected.fate));
            }
        }
    }
}

fn message_id(body: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(body).ok()?;
    Some(event["messageId"].as_str()?.to_owned())
}
