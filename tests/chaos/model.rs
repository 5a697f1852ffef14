//! What must become of each published event, and what each contact must look like in the end.
//!
//! Every identify leaves a trace of its own, a field that no other identify of its contact writes, so a lost one
//! shows even if later ones took effect. What they all write (`job_title`, a company's score, a deal's amount) shows the last
//! one.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::related::{Deals, Naming, Related, Scores};

/// Fields `cf_mark_0` and so on: a contact takes no more identifies than this.
pub const MARKS: usize = 24;
/// Events of all kinds that are written about one contact, at most.
const LIFE: usize = 60;

/// What must become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its contact's field with this number shows it.
    Identified(usize),
    /// It is one of the activities.
    Tracked,
    Skipped,
    /// It is a dead letter with this reason.
    Dead(&'static str),
}

/// An event as it is published.
#[derive(Debug, Clone)]
pub struct Event {
    /// The `messageId`; also in a header, for bodies that cannot be read.
    pub id: String,
    pub body: String,
    /// The account's name in a header, where the body does not tell it.
    pub addressed: Option<String>,
}

/// Several events of a contact.
#[derive(Debug)]
pub struct Batch {
    /// The body with those that go together.
    pub whole: Event,
    pub together: Vec<Event>,
    pub alone: Vec<Event>,
}

/// A published event: whose it is, which one of that contact's, and what must become of it.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub contact: usize,
    pub number: usize,
    pub fate: Fate,
}

/// A contact as the events published so far leave it.
#[derive(Debug, Clone)]
pub struct Contact {
    pub account: usize,
    /// Its address now.
    pub email: String,
    /// Those before it, each with the number of the identify that gave it another one.
    pub earlier: Vec<(usize, String)>,
    pub user_id: String,
    /// The `userId` is no address: it goes to `external_id`, and activities find the contact by it.
    pub opaque: bool,
    /// By field; what it must show.
    pub marks: BTreeMap<usize, usize>,
    pub last: Option<usize>,
    /// Its companies and deals.
    pub related: Related,
    /// Whatever an account has of it is right: what is written before a refusal stays.
    pub loose: bool,
    next: usize,
    over: bool,
}

impl Contact {
    pub fn is_over(&self) -> bool {
        self.over || self.next >= LIFE || self.marks.len() >= MARKS
    }

    /// Whether it has this address, or had it: a replica that gets a lane back reports under the one it remembers.
    pub fn is_known_as(&self, address: &str) -> bool {
        self.email == address || self.earlier.iter().any(|(_, email)| email == address)
    }
}

/// An account as the events see it.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    /// Pages are skipped where it is false.
    pub takes_pages: bool,
    /// What its deals are known by; `None` where no event has one.
    pub deals: Option<Deals>,
}

/// Everything published so far.
#[derive(Debug)]
pub struct Ledger {
    pub accounts: Vec<Account>,
    pub contacts: Vec<Contact>,
    /// By account.
    pub scores: Vec<Scores>,
    /// By account: how many contacts producers have written about, or will.
    joined: Vec<usize>,
    /// By account: contacts that a person made, and that no producer has taken yet.
    prepared: Vec<Vec<usize>>,
    pub events: HashMap<String, Expected>,
    /// Events whose publish had to be repeated: they may stand in the queue more than once.
    pub uncertain: usize,
    pub confirmed: usize,
    /// When each was confirmed, to be compared with the logs.
    pub times: HashMap<String, Timestamp>,
}

impl Ledger {
    pub fn new(accounts: Vec<Account>) -> Self {
        Self {
            scores: vec![Scores::new(); accounts.len()],
            joined: vec![0; accounts.len()],
            prepared: vec![Vec::new(); accounts.len()],
            accounts,
            contacts: Vec::new(),
            events: HashMap::new(),
            uncertain: 0,
            confirmed: 0,
            times: HashMap::new(),
        }
    }

    /// A contact without events so far.
    pub fn contact(&mut self, account: usize, opaque: bool) -> usize {
        let number = self.contacts.len();
        let email = format!("c{number}@{}.example", self.accounts[account].name);
        let user_id = if opaque { format!("user-{number}") } else { email.clone() };
        self.contacts.push(Contact {
            account,
            email,
            earlier: Vec::new(),
            user_id,
            opaque,
            marks: BTreeMap::new(),
            last: None,
            related: Related::default(),
            loose: false,
            next: 0,
            over: false,
        });
        number
    }

    /// A contact for a producer to write about: one that a person made, while there are any, or a new one.
    pub fn newcomer(&mut self, account: usize, dice: &mut Dice) -> usize {
        let (opaque, prepared) = (dice.percent(25), dice.percent(60));
        if let Some(number) = self.prepared[account].pop_if(|_| prepared) {
            return number;
        }
        self.join(account, opaque)
    }

    /// A contact that a person links to these companies before any event comes; its address.
    pub fn prepare(
        &mut self,
        account: usize,
        opaque: bool,
        companies: impl Iterator<Item = String>,
    ) -> String {
        let number = self.join(account, opaque);
        let contact = &mut self.contacts[number];
        contact.related.held.extend(companies);
        for company in &contact.related.held {
            self.scores[account].entry(company.clone()).or_default();
        }
        self.prepared[account].push(number);
        contact.email.clone()
    }

    fn join(&mut self, account: usize, opaque: bool) -> usize {
        let number = self.contact(account, opaque);
        self.contacts[number].related = Related::joined(self.joined[account]);
        self.joined[account] += 1;
        number
    }

    /// A contact that a fault can pick out: every call about it contains this text.
    pub fn marked(&mut self, account: usize, mark: &str) -> (usize, String) {
        let number = self.contact(account, false);
        let text = format!("{mark}{number}-");
        let known = &mut self.contacts[number];
        known.email = format!("{text}{}", known.email);
        known.user_id.clone_from(&known.email);
        (number, text)
    }

    /// An event's publish was confirmed; `certain` if the first one was.
    pub fn confirm(&mut self, event: &Event, certain: bool) {
        self.confirmed += 1;
        self.uncertain += usize::from(!certain);
        self.times.insert(event.id.clone(), Timestamp::now());
    }

    /// The contact gets no more events.
    ///
    /// For an event that may be in the queue twice, the second time at any later moment: a node that was frozen may
    /// carry out a publish that its producer gave up long ago. Behind newer events of the contact it would be legal
    /// input that ends in an older state; behind none it changes nothing.
    pub fn retire(&mut self, contact: usize) {
        self.contacts[contact].over = true;
    }

    /// The next event of a contact.
    pub fn next(&mut self, contact: usize, dice: &mut Dice) -> Event {
        let draw = dice.below(100);
        let opaque_and_new = self.contacts[contact].opaque && self.contacts[contact].next == 0;
        match draw {
            _ if opaque_and_new => self.identify(contact, dice),
            0..48 => self.identify(contact, dice),
            48..75 => self.track(contact),
            75..86 => self.page(contact),
            86..88 => self.broken(contact, "unknown_custom_field", json!({"cfNoSuchField": 1})),
            88..90 => self.broken(contact, "invalid_custom_field", json!({"cfSeats": "many"})),
            90..92 => self.nobody(contact),
            92..94 => self.malformed(contact),
            94..96 => self.unknown(contact),
            96..98 => self.left_out(contact),
            _ => self.screen(contact),
        }
    }

    /// Some of the next events of a contact, to be published in one body. Those that cannot stand in one are apart.
    pub fn batch(&mut self, contact: usize, dice: &mut Dice) -> Batch {
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..2 + dice.below(4) {
            if self.contacts[contact].is_over() {
                break;
            }
            let event = self.next(contact, dice);
            if event.addressed.is_none() { together.push(event) } else { alone.push(event) }
        }
        let bodies: Vec<&str> = together.iter().map(|event| event.body.as_str()).collect();
        let list = format!("[{}]", bodies.join(","));
        let body = if dice.percent(50) {
            list
        } else {
            format!("{{\"batch\":{list},\"context\":{{\"ip\":\"::1\"}}}}")
        };
        // Its parts tell their ids themselves.
        Batch { whole: Event { id: String::new(), body, addressed: None }, together, alone }
    }

    /// An activity of a contact.
    pub fn track(&mut self, contact: usize) -> Event {
        let (number, id) = self.begin(contact, Fate::Tracked);
        let properties = json!({"id": id, "number": number});
        self.event(contact, &id, json!({"type": "track", "event": "Numbered", "properties": properties}))
    }

    fn page(&mut self, contact: usize) -> Event {
        let account = self.contacts[contact].account;
        let fate = if self.accounts[account].takes_pages { Fate::Tracked } else { Fate::Skipped };
        let (number, id) = self.begin(contact, fate);
        let properties = json!({"id": id, "number": number, "url": "https://example.com/"});
        self.event(contact, &id, json!({"type": "page", "name": "Numbered", "properties": properties}))
    }

    fn identify(&mut self, contact: usize, dice: &mut Dice) -> Event {
        let mark = self.contacts[contact].marks.len();
        let (number, id) = self.begin(contact, Fate::Identified(mark));
        let (moves, without_address) = (dice.percent(8), dice.percent(15));
        let known = &mut self.contacts[contact];
        // Freshsales keeps ten addresses.
        let known_already = known.opaque && mark > 0;
        if known_already && moves && known.earlier.len() < 6 {
            let next = format!("n{}-{}", known.earlier.len(), known.email.trim_start_matches(|c| c != 'c'));
            let before = std::mem::replace(&mut known.email, next);
            known.earlier.push((number, before));
        }
        let moved = known.earlier.last().is_some_and(|(since, _)| *since == number);
        known.marks.insert(mark, number);
        known.last = Some(number);
        let mut traits = json!({"email": known.email, "jobTitle": number.to_string()});
        if known_already && !moved && without_address {
            traits.as_object_mut().unwrap().remove("email");
        }
        traits[format!("cfMark{mark}")] = json!(number);
        let deals = self.accounts[known.account].deals;
        let naming = Naming { contact, number, user_id: &known.user_id, deals };
        known.related.name_in(&mut traits, &naming, &mut self.scores[known.account], dice);
        self.event(contact, &id, json!({"type": "identify", "traits": traits}))
    }

    /// An identify with so many traits of an unknown kind.
    pub fn odd(&mut self, contact: usize, traits: usize) -> Event {
        let traits: serde_json::Map<String, Value> =
            (0..traits).map(|odd| (format!("cf{odd}"), json!(odd))).collect();
        self.broken(contact, "unknown_custom_field", Value::Object(traits))
    }

    /// A track whose body cannot be read.
    pub fn unreadable(&mut self, contact: usize) -> Event {
        let (number, id) = self.begin(contact, Fate::Dead("delivery_limit"));
        let properties = json!({"id": id, "number": number});
        self.event(contact, &id, json!({"type": "track", "event": "Numbered", "properties": properties}))
    }

    /// An identify and a track of a contact that Freshsales refuses for good.
    pub fn refused(&mut self, contact: usize) -> [Event; 2] {
        self.contacts[contact].loose = true;
        let identify = self.broken(contact, "rejected", json!({}));
        let (number, id) = self.begin(contact, Fate::Dead("rejected"));
        let properties = json!({"id": id, "number": number});
        let track = json!({"type": "track", "event": "Numbered", "properties": properties});
        [identify, self.event(contact, &id, track)]
    }

    /// An identify with a deal, of an account that takes none.
    pub fn deal(&mut self, contact: usize) -> Event {
        self.contacts[contact].loose = true;
        let name = format!("Deal of {}", self.contacts[contact].user_id.replace('@', " at "));
        self.broken(contact, "rejected", json!({"deal": {"name": name, "amount": 100}}))
    }

    /// An identify and a track.
    pub fn pair(&mut self, contact: usize, dice: &mut Dice) -> [Event; 2] {
        [self.identify(contact, dice), self.track(contact)]
    }

    /// An identify that would change the contact if it were not refused.
    fn broken(&mut self, contact: usize, reason: &'static str, traits: Value) -> Event {
        let (_, id) = self.begin(contact, Fate::Dead(reason));
        let mut body = json!({"type": "identify", "traits": traits});
        body["traits"]["email"] = json!(self.contacts[contact].email);
        body["traits"]["jobTitle"] = json!("refused");
        self.event(contact, &id, body)
    }

    fn nobody(&mut self, contact: usize) -> Event {
        let (_, id) = self.begin(contact, Fate::Dead("missing_email"));
        let mut event =
            self.event(contact, &id, json!({"type": "identify", "traits": {"firstName": "Nobody"}}));
        let mut body: Value = serde_json::from_str(&event.body).unwrap();
        body["userId"] = json!(format!("nobody-{id}"));
        event.body = body.to_string();
        event
    }

    fn malformed(&mut self, contact: usize) -> Event {
        let (_, id) = self.begin(contact, Fate::Dead("malformed_json"));
        let account = &self.accounts[self.contacts[contact].account].name;
        Event { body: format!("{{\"messageId\": “{id}”}}"), addressed: Some(account.clone()), id }
    }

    fn unknown(&mut self, contact: usize) -> Event {
        let (_, id) = self.begin(contact, Fate::Dead("unknown_account"));
        let mut event = self.event(contact, &id, json!({"type": "track", "event": "Lost"}));
        let mut body: Value = serde_json::from_str(&event.body).unwrap();
        body["writeKey"] = json!("nobody's");
        event.body = body.to_string();
        event
    }

    fn left_out(&mut self, contact: usize) -> Event {
        let (_, id) = self.begin(contact, Fate::Skipped);
        let traits = json!({"email": self.contacts[contact].email, "jobTitle": "left out"});
        self.event(
            contact,
            &id,
            json!({"type": "identify", "traits": traits, "integrations": {"All": false}}),
        )
    }

    fn screen(&mut self, contact: usize) -> Event {
        let (_, id) = self.begin(contact, Fate::Skipped);
        self.event(contact, &id, json!({"type": "screen", "name": "Home", "properties": {"id": id}}))
    }

    fn begin(&mut self, contact: usize, fate: Fate) -> (usize, String) {
        let known = &mut self.contacts[contact];
        let number = known.next;
        known.next += 1;
        let id = format!("{contact}.{number}");
        self.events.insert(id.clone(), Expected { contact, number, fate });
        (number, id)
    }

    fn event(&self, contact: usize, id: &str, mut body: Value) -> Event {
        let known = &self.contacts[contact];
        body["messageId"] = json!(id);
        body["userId"] = json!(known.user_id);
        body["writeKey"] = json!(self.accounts[known.account].name);
        Event { id: id.to_owned(), body: body.to_string(), addressed: None }
    }
}
