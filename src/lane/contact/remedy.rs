//! What is tried before a record that Freshsales refuses becomes a dead letter: the same record with a change that may
//! be all it lacks. Freshsales' messages are translated, so nothing is read from their words: each change is tried once,
//! and the one that is accepted was the right one. Pure. The steps of a unit ask here after a refusal of one record alone.
//!
//! A remedy must never write over what people entered: defaults go only where the record is not known to exist.

use super::deals::DealAt;
use super::work_item::{ContactWork, Step};
use crate::lane::contact::cache::records::RecordCache;
use crate::lane::scheduler::Effect;
use crate::lane::scheduler::calls::Refused;
use crate::mapping::{Lacking, Omitted, defaults_table};
use crate::outcome::Problem;
use crate::schema::Entity;
use serde_json::Value;

/// What is changed in a record. A further remedy is a further member here, and its rows in [`TRIALS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::lane) struct Changes {
    /// Without the choice that Freshsales refuses unless it belongs to its parent: see [`dependent_choice`].
    pub(in crate::lane) without_choice: bool,
    /// With the account's defaults for required fields that the event does not give.
    pub(in crate::lane) with_defaults: bool,
}

/// The changes in the order they are tried. The one that costs the event nothing but a status comes first, because it is
/// right for new records and for existing ones.
const TRIALS: [Changes; 3] = [
    Changes { without_choice: true, with_defaults: false },
    Changes { without_choice: false, with_defaults: true },
    Changes { without_choice: true, with_defaults: true },
];

impl Changes {
    /// Whether these are among `others`.
    fn within(self, others: Self) -> bool {
        (!self.without_choice || others.without_choice) && (!self.with_defaults || others.with_defaults)
    }
}

/// A record that was refused and is being tried with changes.
#[derive(Debug)]
pub(in crate::lane) struct Trial {
    /// How often it was tried; the last time with the changes before this place in [`TRIALS`].
    next: usize,
    /// What is tried now.
    pub(in crate::lane) changes: Changes,
    /// What Freshsales said of the record as the event gives it. A dead letter tells this, because it speaks of the event.
    pub(in crate::lane) first: Refused,
}

impl Trial {
    /// What to try after this refusal, given what can be changed in the record; the first refusal if nothing is left.
    pub(in crate::lane) fn after(
        earlier: Option<Self>,
        possible: Changes,
        refused: Refused,
    ) -> Result<Self, Refused> {
        let (next, first) = earlier.map_or((0, refused), |earlier| (earlier.next, earlier.first));
        let applicable = |(_, changes): &(usize, Changes)| changes.within(possible);
        match TRIALS.into_iter().enumerate().skip(next).find(applicable) {
            Some((place, changes)) => Ok(Self { next: place + 1, changes, first }),
            None => Err(first),
        }
    }
}

/// Whether a refusal with this status may be mended by a change of the record. One that is too large grows by a default.
pub(in crate::lane) const fn may_be_mended(status: Option<u16>) -> bool {
    matches!(status, Some(400 | 409 | 422))
}

/// The field that Freshsales takes only together with its parent: a contact's status with its lifecycle stage, a deal's
/// stage with its pipeline. A pair that does not match is refused with the whole record.
pub(in crate::lane) const fn dependent_choice(entity: Entity) -> Option<&'static str> {
    match entity {
        Entity::Contact => Some("contact_status_id"),
        Entity::Deal => Some("deal_stage_id"),
        Entity::SalesAccount => None,
    }
}

/// A refused record that this replica remembers, so that no default may be written over what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) struct Remembered {
    pub(in crate::lane) entity: Entity,
    pub(in crate::lane) id: i64,
    pub(in crate::lane) refused: Refused,
}

impl Remembered {
    /// What is to be read before the refusal of the step's record is told: it may have been deleted, and then defaults might
    /// help. None if none could.
    pub(in crate::lane) fn of(work: &ContactWork, memo: &mut RecordCache, refused: &Refused) -> Option<Self> {
        let (entity, record) = work.given()?;
        if work.fresh || !may_be_mended(refused.status) || !has_defaults(&record.lacking()) {
            return None;
        }
        let id = if work.stage == Step::Company {
            memo.account(&work.write.company.as_ref()?.name)?.id
        } else if work.stage == Step::Contact {
            memo.contact_id(work.write.address())?
        } else {
            return None;
        };
        Some(Self { entity, id, refused: refused.clone() })
    }

    /// The step at which it was refused.
    pub(in crate::lane) const fn stage(&self) -> Step {
        match self.entity {
            Entity::SalesAccount => Step::Company,
            Entity::Contact | Entity::Deal => Step::Contact,
        }
    }

    /// Whether an answer shows the record as a deleted one.
    pub(in crate::lane) fn is_deleted(&self, body: &Value) -> bool {
        let deleted = body.get(self.entity.singular()).and_then(|record| record.get("is_deleted"));
        deleted.and_then(Value::as_bool) == Some(true)
    }
}

pub(in crate::lane) fn has_defaults(lacking: &[Lacking]) -> bool {
    lacking.iter().any(|lacking| lacking.default.is_some())
}

/// Prepares the refused record's next trial; the refusal to be told if there is none.
pub(in crate::lane) fn next(
    work: &mut ContactWork,
    memo: &mut RecordCache,
    refused: Refused,
) -> Result<(), Refused> {
    let earlier = work.trial.take().map(|trial| *trial);
    // A clash is with another record, or with another writer of this one: no change of the record is meant.
    if !may_be_mended(refused.status) || refused.status == Some(409) {
        return Err(earlier.map_or(refused, |earlier| earlier.first));
    }
    let possible = work.possible_changes(is_there(work, memo));
    let trial = Trial::after(earlier, possible, refused)?;
    work.trial = Some(Box::new(trial));
    work.alone = true;
    Ok(())
}

/// The required fields that a refused record does not have. One that is known to be there needs none; but where that was not
/// asked, because no default could help, it may have been deleted, so the next time it is not known any more.
pub(in crate::lane) fn absent(work: &ContactWork, memo: &mut RecordCache) -> Option<Problem> {
    let (entity, record) = work.given()?;
    let lacking = record.lacking();
    if lacking.is_empty() || !is_there(work, memo) {
        return absent_fields(entity, &lacking);
    }
    if !has_defaults(&lacking) {
        let company = work.write.company.as_ref().filter(|_| entity == Entity::SalesAccount);
        memo.forget(work.write.address(), company.map(|company| &*company.name));
    }
    None
}

/// Whether the record that the step writes is known to be there.
fn is_there(work: &ContactWork, memo: &mut RecordCache) -> bool {
    match work.entity() {
        Some(Entity::SalesAccount) => {
            let named = work.write.company.as_ref().and_then(|company| memo.account(&company.name));
            work.account.is_some() || named.is_some()
        }
        Some(Entity::Contact) => work.contact.is_some() || memo.contact_id(work.write.address()).is_some(),
        Some(Entity::Deal) => matches!(work.deal, DealAt::Id(_)),
        None => true,
    }
}

/// The value without which the step's record was accepted, if it was refused with it.
pub(in crate::lane) fn left_out<D>(work: &ContactWork) -> Option<Effect<D>> {
    let entity = work.entity()?;
    let without = work.trial.as_ref().is_some_and(|trial| trial.changes.without_choice);
    let field = dependent_choice(entity).filter(|_| without)?;
    Some(Effect::LeftOut(Omitted {
        entity,
        field: field.to_owned(),
        trait_path: field.to_owned(),
        why: "Freshsales refuses the record with it".to_owned(),
    }))
}

/// So many fields are named in a dead letter.
const MOST_NAMED: usize = 16;

/// What a dead letter tells of required fields that the event does not give: which, and for which of them the account has no
/// default.
fn absent_fields(entity: Entity, lacking: &[Lacking]) -> Option<Problem> {
    let (only, others) = lacking.split_first()?;
    let table = defaults_table(entity);
    let without: Vec<&Lacking> = lacking.iter().filter(|lacking| lacking.default.is_none()).collect();
    let expected = if without.is_empty() {
        "them in the event: the defaults did not help".to_owned()
    } else {
        format!("them in the event, or set {table} for {}", named(without.into_iter()))
    };
    Some(Problem {
        field: others.is_empty().then(|| only.field.clone()),
        trait_path: others.is_empty().then(|| only.trait_path.clone()),
        problem: format!("the event does not give fields that a new record needs: {}", named(lacking.iter())),
        expected: Some(expected),
        ..Problem::default()
    })
}

fn named<'a>(lacking: impl ExactSizeIterator<Item = &'a Lacking>) -> String {
    let more = lacking.len().saturating_sub(MOST_NAMED);
    let names: Vec<&str> = lacking.take(MOST_NAMED).map(|lacking| lacking.field.as_str()).collect();
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_that_is_possible_is_tried_once_and_the_first_refusal_is_what_is_told() {
        let refused = |what: &str| Refused::said(400, vec![what.to_owned()]);
        let changes = |without_choice, with_defaults| Changes { without_choice, with_defaults };
        for (possible, expected) in [
            (changes(false, false), vec![]),
            (changes(true, false), vec![changes(true, false)]),
            (changes(false, true), vec![changes(false, true)]),
            (changes(true, true), vec![changes(true, false), changes(false, true), changes(true, true)]),
        ] {
            let mut tried = Vec::new();
            let mut trial = Trial::after(None, possible, refused("first"));
            let told = loop {
                match trial {
                    Ok(next) => {
                        tried.push(next.changes);
                        trial = Trial::after(Some(next), possible, refused("later"));
                    }
                    Err(told) => break told,
                }
            };
            assert_eq!(tried, expected);
            assert_eq!(told, refused("first"));
        }
    }
}
