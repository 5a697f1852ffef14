//! What is tried before a refused record becomes a dead letter: the same record with a change (see
//! [`trial`](super::trial)). A remedy must never overwrite what people entered, so defaults are sent only if the record
//! is not known to exist.

use serde_json::Value;

use super::refusal::RefusedCall;
use super::trial::{Trial, dependent_choice, has_defaults};
use crate::lane::contact::cache::records::RecordCache;
use crate::lane::contact::contact_work::{ContactWork, DealId, Existence};
use crate::lane::contact::step::{CachedRecord, Step};
use crate::mapping::{Lacking, Omitted, defaults_table};
use crate::outcome::Problem;
use crate::schema::Entity;

impl CachedRecord {
    /// The cached record to read before the refusal counts: it may have been deleted, and then defaults may help. `None` if
    /// there are none.
    pub(in crate::lane) fn of(
        work: &ContactWork,
        records: &mut RecordCache,
        refused: &RefusedCall,
    ) -> Option<Self> {
        let (entity, record) = work.given_record()?;
        if work.cache.ignored || !refused.may_be_mended() || !has_defaults(&record.lacking()) {
            return None;
        }
        let id = if work.step == Step::Company {
            records.account(&work.write.company.as_ref()?.name)?.id
        } else if work.step == Step::Contact {
            records.contact_id(work.write.address())?
        } else {
            return None;
        };
        Some(Self { entity, id, refused: refused.clone() })
    }

    pub(in crate::lane) const fn refused_step(&self) -> Step {
        match self.entity {
            Entity::SalesAccount => Step::Company,
            Entity::Contact | Entity::Deal => Step::Contact,
        }
    }

    /// Whether an answer shows that the record was deleted.
    pub(in crate::lane) fn is_deleted(&self, body: &Value) -> bool {
        let deleted = body.get(self.entity.singular()).and_then(|record| record.get("is_deleted"));
        deleted.and_then(Value::as_bool) == Some(true)
    }
}

/// Prepares the refused record's next trial. If none is left, returns the refusal that the dead letter reports.
pub(in crate::lane) fn next(
    work: &mut ContactWork,
    records: &mut RecordCache,
    refused: RefusedCall,
) -> Result<(), RefusedCall> {
    let earlier = work.trial.take().map(|trial| *trial);
    // 409 is a clash with another record, or with another writer of this one, which no change of the record mends.
    if !refused.may_be_mended() || refused.status == Some(409) {
        return Err(earlier.map_or(refused, |earlier| earlier.first));
    }
    let possible = work.possible_changes(existence(work, records));
    let trial = Trial::after(earlier, possible, refused)?;
    work.trial = Some(Box::new(trial));
    work.singly = true;
    Ok(())
}

/// The required fields that the refused record lacks, for the dead letter. An existing record needs none. If no default
/// could help, nothing was read to confirm that it exists, so it leaves the cache.
pub(in crate::lane) fn absent_required_fields(
    work: &ContactWork,
    records: &mut RecordCache,
) -> Option<Problem> {
    let (entity, record) = work.given_record()?;
    let lacking = record.lacking();
    if lacking.is_empty() || existence(work, records) == Existence::Unknown {
        return absent_fields(entity, &lacking);
    }
    if !has_defaults(&lacking) {
        let company = work.write.company.as_ref().filter(|_| entity == Entity::SalesAccount);
        records.forget(work.write.address(), company.map(|company| &*company.name));
    }
    None
}

/// Whether the record that the step writes is known to exist.
fn existence(work: &ContactWork, records: &mut RecordCache) -> Existence {
    let known = match work.step.writes() {
        Some(Entity::SalesAccount) => {
            let named = work.write.company.as_ref().and_then(|company| records.account(&company.name));
            work.known.account_id.is_some() || named.is_some()
        }
        Some(Entity::Contact) => {
            work.known.contact_id.is_some() || records.contact_id(work.write.address()).is_some()
        }
        Some(Entity::Deal) => matches!(work.known.deal, DealId::Known(_)),
        None => true,
    };
    if known { Existence::Known } else { Existence::Unknown }
}

/// The value without which the step's record was accepted after a refusal, if there was one.
pub(in crate::lane) fn left_out(work: &ContactWork) -> Option<Omitted> {
    let entity = work.step.writes()?;
    let without = work.trial.as_ref().is_some_and(|trial| trial.changes.without_choice);
    let field = dependent_choice(entity).filter(|_| without)?;
    Some(Omitted {
        entity,
        field: field.to_owned(),
        trait_path: field.to_owned(),
        why: "Freshsales refuses the record with it".to_owned(),
    })
}

/// A dead letter names this many fields.
const MOST_NAMED: usize = 16;

/// Which required fields the event lacks, and for which of them the account has no default.
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
