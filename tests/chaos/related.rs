//! The companies and deals that identifies name, and what an account must have of them in the end.
//!
//! A contact names a company of its own, a few that it shares with others, and those that a person linked it to before
//! any event came. Whatever it was linked to, it stays linked to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::dice::Dice;

/// Contacts that name the same companies, and how many these are.
const GROUP: usize = 8;
const SHARED: usize = 3;
/// Names of deals where each contact has its own.
const DEALS: [&str; 2] = ["Renewal", "Upgrade"];

/// What a deal is known by, `deal_identity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deals {
    /// Contact and name.
    OfContacts,
    /// The name alone.
    ByName,
}

/// What stands for a contact's companies and deals.
#[derive(Debug, Clone, Default)]
pub struct Related {
    /// Contacts of one account and one number share companies; without it the contact has only its own.
    group: Option<usize>,
    /// The companies that a person linked it to, if a person made it; then it is there even if no event writes it.
    pub held: BTreeSet<String>,
    /// The companies of its identifies.
    pub named: BTreeSet<String>,
    /// By name, as its last identify that has the deal leaves it.
    pub deals: BTreeMap<String, Deal>,
}

/// A deal as an identify gives it.
#[derive(Debug, Clone)]
pub struct Deal {
    pub amount: usize,
    /// The company of the same identify.
    pub company: Option<String>,
}

/// By company: the score that each contact gave it last. The order among contacts is not promised, so it shows one of these.
pub type Scores = BTreeMap<String, BTreeMap<usize, usize>>;

impl Related {
    /// Of the contact with this number among those that producers write about, in one account.
    pub fn joined(number: usize) -> Self {
        Self { group: Some(number / GROUP), ..Self::default() }
    }

    /// Every company that the contact must be linked to.
    pub fn links(&self) -> BTreeSet<&String> {
        self.held.union(&self.named).collect()
    }

    /// Adds a company and a deal to an identify's traits, or one of them, or none.
    pub fn name_in(&mut self, traits: &mut Value, event: &Naming<'_>, scores: &mut Scores, dice: &mut Dice) {
        let Naming { contact, number, user_id, deals } = event;
        let (draw, which, often) = (dice.below(100), dice.roll(), dice.percent(50));
        let (with_deal, renewal) = (dice.percent(30), dice.percent(50));
        let pick = |count: usize| usize::try_from(which % count as u64).unwrap();
        let company = match (draw, self.group) {
            // Few values, so that one comes again that was written before another one.
            (0..12, _) => Some((format!("Company of {}", user_id.replace('@', " at ")), number % 2)),
            (12..34, Some(group)) => {
                // The same from many contacts, or one that is nobody else's.
                let score = if often { group % 7 } else { contact * 100 + number };
                Some((format!("Company {group}-{} of several", pick(SHARED)), score))
            }
            (34..40, _) if !self.held.is_empty() => {
                Some((self.held.iter().nth(pick(self.held.len())).unwrap().clone(), contact * 100 + number))
            }
            _ => None,
        };
        if let Some((name, score)) = &company {
            self.named.insert(name.clone());
            scores.entry(name.clone()).or_default().insert(*contact, *score);
            traits["company"] = json!({"name": name, "cfHealthScore": score, "city": city(*score)});
        }
        let (Some(group), Some(deals)) = (self.group, deals) else { return };
        if with_deal && contact % 5 < 2 {
            let name = match deals {
                Deals::OfContacts => DEALS[usize::from(renewal)].to_owned(),
                Deals::ByName => format!("{} of group {group}", DEALS[usize::from(renewal)]),
            };
            let amount = contact * 100 + number;
            traits["deal"] = json!({"name": name, "amount": amount, "cfOrderReference": reference(amount)});
            self.deals.insert(name, Deal { amount, company: company.map(|(name, _)| name) });
        }
    }
}

/// The identify that names something.
#[derive(Debug)]
pub struct Naming<'a> {
    pub contact: usize,
    pub number: usize,
    pub user_id: &'a str,
    /// `None` where the account's events have no deals.
    pub deals: Option<Deals>,
}

/// A company's second value, to be written together with its score.
pub fn city(score: usize) -> String {
    format!("City {score}")
}

/// A deal's second value, to be written together with its amount.
pub fn reference(amount: usize) -> String {
    format!("order {amount}")
}
