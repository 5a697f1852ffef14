//! What a modelled account holds, and how writing changes it: by the rules of the API that decide what is lost.

use std::collections::HashMap;
use std::time::Duration;

use freshet::schema::Entity;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::search_lag::{SearchLag, Shown};

/// Ids are of different ranges, so that one of another entity is noticed.
const CONTACTS: i64 = 1_000_001;
const SALES_ACCOUNTS: i64 = 2_000_001;
const DEALS: i64 = 3_000_001;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub account: i64,
    pub primary: bool,
}

/// What of a contact leads to other records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relations {
    pub links: Vec<Link>,
    pub deals: Vec<i64>,
}

#[derive(Debug)]
pub struct Contact {
    pub email: Box<str>,
    pub fields: Map<String, Value>,
    pub relations: Relations,
}

#[derive(Debug)]
pub struct SalesAccount {
    pub name: String,
    pub fields: Map<String, Value>,
}

#[derive(Debug)]
pub struct Deal {
    pub name: String,
    pub fields: Map<String, Value>,
    pub sales_account: Option<i64>,
    pub contacts: Vec<i64>,
}

pub struct Account {
    contacts: Vec<Contact>,
    by_email: HashMap<Box<str>, usize>,
    by_external_id: HashMap<String, usize>,
    accounts: Vec<SalesAccount>,
    accounts_by_name: HashMap<String, usize>,
    deals: Vec<Deal>,
    deals_by_name: HashMap<String, usize>,
    lag_of_contacts: SearchLag<Relations>,
    lag_of_accounts: SearchLag<()>,
}

impl Account {
    pub fn new(search_delay: Duration) -> Self {
        Self {
            contacts: Vec::new(),
            by_email: HashMap::new(),
            by_external_id: HashMap::new(),
            accounts: Vec::new(),
            accounts_by_name: HashMap::new(),
            deals: Vec::new(),
            deals_by_name: HashMap::new(),
            lag_of_contacts: SearchLag::new(search_delay),
            lag_of_accounts: SearchLag::new(search_delay),
        }
    }

    /// Creates or updates the record with this identifier. Returns its id.
    pub fn upsert(
        &mut self,
        entity: Entity,
        identifier: &str,
        data: &Map<String, Value>,
        now: Instant,
    ) -> i64 {
        let key = identifier.trim().to_lowercase();
        match entity {
            Entity::Contact => {
                let known = self.by_email.get(&*key).copied();
                let place = known.unwrap_or_else(|| self.new_contact(&key, now));
                self.write_contact(place, data, now);
                id(CONTACTS, place)
            }
            Entity::SalesAccount => {
                let place = self.accounts_by_name.get(&key).copied().unwrap_or_else(|| {
                    self.accounts.push(SalesAccount { name: identifier.to_owned(), fields: Map::new() });
                    self.lag_of_accounts.note(self.accounts.len() - 1, None, now);
                    self.accounts_by_name.insert(key, self.accounts.len() - 1);
                    self.accounts.len() - 1
                });
                self.accounts[place].fields.extend(data.clone());
                id(SALES_ACCOUNTS, place)
            }
            Entity::Deal => match self.deals_by_name.get(&key).copied() {
                Some(place) => self.write_deal(place, data, now),
                None => self.create_deal(data, now),
            },
        }
    }

    /// Changes the record with this id; false if there is none.
    pub fn update(&mut self, entity: Entity, id: i64, data: &Map<String, Value>, now: Instant) -> bool {
        match entity {
            Entity::Contact => {
                let Some(place) = place(CONTACTS, id, self.contacts.len()) else { return false };
                self.write_contact(place, data, now);
            }
            Entity::SalesAccount => {
                let Some(place) = place(SALES_ACCOUNTS, id, self.accounts.len()) else { return false };
                self.accounts[place].fields.extend(data.clone());
            }
            Entity::Deal => {
                let Some(place) = place(DEALS, id, self.deals.len()) else { return false };
                self.write_deal(place, data, now);
            }
        }
        true
    }

    /// Creates a deal, even if others have its name.
    pub fn create_deal(&mut self, data: &Map<String, Value>, now: Instant) -> i64 {
        let name = data["name"].as_str().expect("a deal has a name").to_owned();
        let place = self.deals.len();
        self.deals_by_name.entry(name.trim().to_lowercase()).or_insert(place);
        self.deals.push(Deal { name, fields: Map::new(), sales_account: None, contacts: Vec::new() });
        self.write_deal(place, data, now)
    }

    fn new_contact(&mut self, email: &str, now: Instant) -> usize {
        let place = self.contacts.len();
        self.by_email.insert(email.into(), place);
        self.contacts.push(Contact {
            email: email.into(),
            fields: Map::new(),
            relations: Relations::default(),
        });
        self.lag_of_contacts.note(place, None, now);
        place
    }

    fn write_contact(&mut self, place: usize, data: &Map<String, Value>, now: Instant) {
        for (key, value) in data {
            match key.as_str() {
                "emails" => {}
                // The whole set is replaced: a link that is not given is gone.
                "sales_accounts" => {
                    let links = value.as_array().expect("links are a list").iter().map(read_link);
                    let links: Vec<Link> = links.collect();
                    let known = |link: &Link| place_of_account(link.account, self.accounts.len()).is_some();
                    assert!(links.iter().all(known), "a link leads to a sales account that is not there");
                    let was = self.contacts[place].relations.clone();
                    self.lag_of_contacts.note(place, Some(was), now);
                    self.contacts[place].relations.links = links;
                }
                "external_id" => {
                    let external_id = value.as_str().unwrap_or_default().to_lowercase();
                    self.by_external_id.insert(external_id, place);
                    self.contacts[place].fields.insert(key.clone(), value.clone());
                }
                _ => {
                    self.contacts[place].fields.insert(key.clone(), value.clone());
                }
            }
        }
    }

    fn write_deal(&mut self, place: usize, data: &Map<String, Value>, now: Instant) -> i64 {
        let deal = id(DEALS, place);
        for (key, value) in data {
            match key.as_str() {
                "sales_account_id" => self.deals[place].sales_account = value.as_i64(),
                "contacts_added_list" => {
                    let added = value.as_array().expect("contacts are a list");
                    for contact in added.iter().filter_map(Value::as_i64) {
                        self.add_contact(place, contact, now);
                    }
                }
                _ => {
                    self.deals[place].fields.insert(key.clone(), value.clone());
                }
            }
        }
        deal
    }

    fn add_contact(&mut self, deal: usize, contact: i64, now: Instant) {
        let of = place(CONTACTS, contact, self.contacts.len()).expect("a deal's contact is there");
        let relations = &mut self.contacts[of].relations;
        if relations.deals.contains(&id(DEALS, deal)) {
            return;
        }
        self.lag_of_contacts.note(of, Some(relations.clone()), now);
        relations.deals.push(id(DEALS, deal));
        self.deals[deal].contacts.push(contact);
    }

    pub fn contact(&self, contact: i64) -> Option<&Contact> {
        place(CONTACTS, contact, self.contacts.len()).map(|place| &self.contacts[place])
    }

    pub fn sales_account(&self, account: i64) -> Option<&SalesAccount> {
        place_of_account(account, self.accounts.len()).map(|place| &self.accounts[place])
    }

    pub fn deal(&self, deal: i64) -> Option<&Deal> {
        place(DEALS, deal, self.deals.len()).map(|place| &self.deals[place])
    }

    pub fn deals(&self) -> &[Deal] {
        &self.deals
    }

    pub fn contact_by_email(&self, email: &str) -> Option<i64> {
        self.by_email.get(email).map(|place| id(CONTACTS, *place))
    }

    /// The id of the record with this name. Of deals the oldest.
    pub fn by_name(&self, entity: Entity, name: &str) -> Option<i64> {
        let key = name.trim().to_lowercase();
        match entity {
            Entity::Contact => None,
            Entity::SalesAccount => self.accounts_by_name.get(&key).map(|place| id(SALES_ACCOUNTS, *place)),
            Entity::Deal => self.deals_by_name.get(&key).map(|place| id(DEALS, *place)),
        }
    }

    /// What search shows of the contact with this address.
    pub fn found_contact(&self, email: &str, now: Instant) -> Option<(i64, &Relations)> {
        self.found(*self.by_email.get(&*email.trim().to_lowercase())?, now)
    }

    /// What search shows of the contact with this `external_id`.
    pub fn found_external_id(&self, external_id: &str, now: Instant) -> Option<(i64, &Relations)> {
        self.found(*self.by_external_id.get(&external_id.trim().to_lowercase())?, now)
    }

    fn found(&self, place: usize, now: Instant) -> Option<(i64, &Relations)> {
        let relations = match self.lag_of_contacts.shown(place, now) {
            Shown::AsItIs => &self.contacts[place].relations,
            Shown::AsItWas(was) => was,
            Shown::Nothing => return None,
        };
        Some((id(CONTACTS, place), relations))
    }

    /// The id of the sales account with this name, if search shows it.
    pub fn found_account(&self, name: &str, now: Instant) -> Option<i64> {
        let place = *self.accounts_by_name.get(&name.trim().to_lowercase())?;
        let shown = !matches!(self.lag_of_accounts.shown(place, now), Shown::Nothing);
        shown.then(|| id(SALES_ACCOUNTS, place))
    }
}

fn id(base: i64, place: usize) -> i64 {
    base + i64::try_from(place).expect("few records")
}

fn place(base: i64, id: i64, records: usize) -> Option<usize> {
    usize::try_from(id - base).ok().filter(|place| *place < records)
}

fn place_of_account(id: i64, records: usize) -> Option<usize> {
    place(SALES_ACCOUNTS, id, records)
}

fn read_link(link: &Value) -> Link {
    Link {
        account: link["id"].as_i64().expect("a link has an id"),
        primary: link["is_primary"].as_bool().unwrap_or(false),
    }
}
