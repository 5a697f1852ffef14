//! What became of every event, against what must have become of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use lapin::message::Delivery;
use serde_json::Value;

use crate::model::{Contact, Fate, Ledger};
use crate::producers::ID;
use crate::related::{Deal, Deals, city, reference};
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
    /// What was compared.
    pub contacts: usize,
    pub companies: usize,
    pub links: usize,
    pub deals: usize,
    /// Of those in `lost`.
    pub lost_links: usize,
}

impl Verdict {
    pub fn of(ledger: &Ledger, world: &World, letters: &[Delivery]) -> Self {
        let mut verdict = Self::default();
        for (account, site) in world.sites.iter().enumerate() {
            let state = site.sandbox.state();
            verdict.judge_activities(ledger, account, &state);
            verdict.judge_contacts(ledger, account, &state);
            verdict.judge_companies(ledger, account, &state);
            verdict.judge_deals(ledger, account, &state);
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
        let mut found: HashMap<&str, &Value> = HashMap::new();
        for record in list(state, "contacts") {
            let email = record["email"].as_str().unwrap_or_default();
            if found.insert(email, record).is_some() {
                self.unexpected.push(format!("contact {email} a second time"));
            }
        }
        let expected = ledger.contacts.iter().enumerate();
        for (number, contact) in expected.filter(|(_, contact)| {
            contact.account == account && (contact.last.is_some() || !contact.related.held.is_empty())
        }) {
            match found.remove(contact.email.as_str()) {
                Some(record) => self.judge_contact(ledger, number, contact, record),
                None if contact.last.is_none() => {
                    self.lost.push(format!("contact {number}, made by a person"));
                }
                None => self.lost.extend(
                    contact.marks.values().map(|event| format!("identify {number}.{event}, and its contact")),
                ),
            }
        }
        let loose =
            |email: &str| ledger.contacts.iter().any(|contact| contact.loose && contact.email == email);
        self.unexpected
            .extend(found.keys().filter(|email| !loose(email)).map(|email| format!("contact {email}")));
    }

    fn judge_contact(&mut self, ledger: &Ledger, number: usize, contact: &Contact, record: &Value) {
        self.contacts += 1;
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
        let external = (contact.opaque && contact.last.is_some()).then_some(contact.user_id.as_str());
        if record["external_id"].as_str() != external {
            self.unexpected.push(format!("contact {number} has the external id {}", record["external_id"]));
        }
        self.judge_links(number, contact, record);
    }

    /// All that a person made, the companies of all its identifies, and nothing else.
    fn judge_links(&mut self, number: usize, contact: &Contact, record: &Value) {
        let linked: Vec<&str> =
            list(record, "sales_accounts").iter().filter_map(|link| link["name"].as_str()).collect();
        let expected = contact.related.links();
        self.links += expected.len();
        for name in expected.iter().filter(|name| !linked.contains(&name.as_str())) {
            let whose =
                if contact.related.held.contains(name.as_str()) { "a person's" } else { "an identify's" };
            self.lost.push(format!("link of contact {number} to {name}, {whose}; it has {linked:?}"));
            self.lost_links += 1;
        }
        for (at, name) in linked.iter().enumerate() {
            if !expected.iter().any(|expected| expected == name) || linked[..at].contains(name) {
                self.unexpected.push(format!("link of contact {number} to {name}: it has {linked:?}"));
            }
        }
    }

    /// Each is there once, with what one of its contacts wrote last.
    fn judge_companies(&mut self, ledger: &Ledger, account: usize, state: &Value) {
        let mut missing: BTreeMap<&str, &BTreeMap<usize, usize>> =
            ledger.scores[account].iter().map(|(name, scores)| (name.as_str(), scores)).collect();
        self.companies += missing.len();
        for record in list(state, "sales_accounts") {
            let name = record["name"].as_str().unwrap_or_default();
            let Some(scores) = missing.remove(name) else {
                self.unexpected.push(format!("sales account {name}, once too often"));
                continue;
            };
            let shown = (&record["custom_field"]["cf_health_score"], &record["city"]);
            let as_written = |score: &usize| *shown.0 == *score && *shown.1 == city(*score);
            let as_made = scores.is_empty() && shown.0.is_null() && shown.1.is_null();
            if !as_made && !scores.values().any(as_written) {
                self.reordered.push(format!("{name} shows {shown:?}, last were {scores:?}, by contact"));
            }
        }
        self.lost.extend(missing.keys().map(|name| format!("sales account {name}")));
    }

    /// Each is there once, with what one of its contacts wrote last, and belongs to those that have it and to nobody
    /// else. No creation is ever repeated here: every account shows a contact's deals, so they are looked at before.
    fn judge_deals(&mut self, ledger: &Ledger, account: usize, state: &Value) {
        let by_email: HashMap<&str, usize> = ledger
            .contacts
            .iter()
            .enumerate()
            .map(|(number, contact)| (contact.email.as_str(), number))
            .collect();
        let by_id: HashMap<u64, usize> = list(state, "contacts")
            .iter()
            .filter_map(|record| Some((record["id"].as_u64()?, *by_email.get(record["email"].as_str()?)?)))
            .collect();
        // By name, and by contact where that tells deals apart; with each contact's last.
        let mut missing: BTreeMap<(&str, Option<usize>), BTreeMap<usize, &Deal>> = BTreeMap::new();
        let identity = ledger.accounts[account].deals;
        let key = |number: usize| (identity == Some(Deals::OfContacts)).then_some(number);
        let own = ledger.contacts.iter().enumerate().filter(|(_, contact)| contact.account == account);
        for (number, contact) in own {
            for (name, deal) in &contact.related.deals {
                missing.entry((name, key(number))).or_default().insert(number, deal);
            }
        }
        self.deals += missing.len();
        let companies: HashMap<&str, &Value> = list(state, "sales_accounts")
            .iter()
            .filter_map(|record| Some((record["name"].as_str()?, &record["id"])))
            .collect();
        for record in list(state, "deals") {
            let name = record["name"].as_str().unwrap_or_default();
            let ids = list(record, "contact_ids").iter();
            let owners: BTreeSet<Option<usize>> =
                ids.map(|id| id.as_u64().and_then(|id| by_id.get(&id).copied())).collect();
            let first = owners.first().copied().flatten();
            if first.is_some_and(|number| ledger.contacts[number].loose) {
                continue;
            }
            let Some(lasts) = first.and_then(|number| missing.remove(&(name, key(number)))) else {
                self.unexpected.push(format!("deal {name} of contacts {owners:?}, once too often"));
                continue;
            };
            let wanted: BTreeSet<Option<usize>> = lasts.keys().copied().map(Some).collect();
            self.unexpected
                .extend(owners.difference(&wanted).map(|owner| format!("deal {name} of contact {owner:?}")));
            self.lost
                .extend(wanted.difference(&owners).map(|owner| format!("deal {name} of contact {owner:?}")));
            let order = &record["custom_field"]["cf_order_reference"];
            let as_written = |deal: &&Deal| {
                let company = deal.company.as_deref();
                let with_its_company =
                    company.is_none_or(|name| companies.get(name) == Some(&&record["sales_account_id"]));
                record["amount"] == deal.amount && *order == reference(deal.amount) && with_its_company
            };
            if !lasts.values().copied().any(|deal| as_written(&deal)) {
                let (amount, company) = (&record["amount"], &record["sales_account_id"]);
                self.reordered.push(format!(
                    "deal {name} shows {amount}, {order}, sales account {company}, last were {lasts:?}, by contact"
                ));
            }
        }
        self.lost.extend(missing.keys().map(|(name, contact)| format!("deal {name} of contact {contact:?}")));
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

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn message_id(body: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(body).ok()?;
    Some(event["messageId"].as_str()?.to_owned())
}
