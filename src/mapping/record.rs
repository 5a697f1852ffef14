//! One record from one set of traits: it chooses a trait for each field, coerces the value, and lists the required fields
//! that the event does not give. The mapper calls it for the contact, `related` for the company and the deal.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::email;
use super::findings::Findings;
use super::position::{At, FIRST, Scope};
use super::{InvalidValue, Lacking, MappingRules, Omitted, Record};
use crate::mapping::fields::field_index::FieldIndex;
use crate::mapping::fields::target::Target;
use crate::mapping::traits::candidate::Candidate;
use crate::mapping::traits::resolution::candidates;
use crate::mapping::traits::special::SpecialPositions;
use crate::mapping::values::coerce::{TEXT_LIMIT, check_range, coerce, text, wanted};
use crate::mapping::values::owners;
use crate::mapping::values::parents::{Parent, parent_of};
use crate::outcome::{DeadLetterReason, Problem};
use crate::schema::{Entity, Selectors};
use crate::segment::JsonMap;

/// What a record needs to know of the event around its traits.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordContext<'a> {
    pub(super) scope: Scope,
    pub(super) special: SpecialPositions,
    pub(super) selectors: &'a Selectors,
    /// The address that identifies the contact.
    pub(super) email: Option<&'a str>,
    /// The `userId`, where it becomes the contact's `external_id`.
    pub(super) external_id: Option<&'a str>,
    /// Fields that are set later, when records are linked; they are not missing.
    pub(super) linked: &'a [&'static str],
    /// The position at which a missing field is reported.
    pub(super) end: At,
}

/// Whether the event's `userId` sets `external_id`, so that no trait may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserId {
    Known,
    Unknown,
}

impl RecordContext<'_> {
    fn user_id(&self) -> UserId {
        match self.external_id {
            Some(_) => UserId::Known,
            None => UserId::Unknown,
        }
    }
}

pub(super) fn record(
    fields: &FieldIndex,
    rules: &MappingRules,
    traits: JsonMap,
    context: RecordContext<'_>,
    findings: &mut Findings,
) -> Record {
    let mut record = Record::default();
    if let Some(email) = context.email {
        record.fields.insert("emails".into(), email.into());
    }
    let candidates = candidates(fields, traits, context.scope, context.special, rules, findings);
    let winners = winners(&candidates);
    let parent = parent(fields, rules, &candidates, &winners, context);
    // Holds refused values' fields too: a field whose value does not fit is not reported as missing as well.
    let mut given: HashSet<&str> = context.linked.iter().copied().collect();
    for (index, candidate) in candidates.into_iter().enumerate() {
        let target = candidate.target;
        if candidate.value.is_null() {
            let clears = winners.get(target.name) == Some(&index)
                && managed(fields.entity, target, context.user_id()).is_none()
                && clearable(fields.entity, target);
            if clears {
                let values = if target.custom { &mut record.custom_field } else { &mut record.fields };
                values.insert(target.name.to_owned(), Value::Null);
                given.insert(target.name);
            }
            continue;
        }
        if let Some(why) = managed(fields.entity, target, context.user_id()) {
            findings.ignore(fields.entity, candidate.path, why);
            continue;
        }
        if winners.get(target.name) != Some(&index) {
            findings.ignore(fields.entity, candidate.path, "another trait sets this field");
            continue;
        }
        let coerced = if fields.entity == Entity::Contact && target.name == "emails" {
            email::list(candidate.value, context.email)
        } else if let Some(parent) = &parent
            && parent_of(fields.entity, target.name).is_some()
        {
            parent.coerce_child(target, &candidate.value, rules.coercion, &mut findings.needs)
        } else if target.name == "owner_id" {
            coerce(target, candidate.value.clone(), rules.coercion).or_else(|mismatch| {
                owners::by_address(target, &candidate.value, mismatch, context.selectors, &mut findings.needs)
            })
        } else {
            coerce(target, candidate.value, rules.coercion)
        };
        match coerced.and_then(|value| check_range(fields.entity, target, value)) {
            Ok(Some(value)) => {
                let values = if target.custom { &mut record.custom_field } else { &mut record.fields };
                values.insert(target.name.to_owned(), value);
                given.insert(target.name);
            }
            Ok(None) => findings.ignore(fields.entity, candidate.path, "empty"),
            Err(mismatch) => match rules.invalid_value {
                InvalidValue::DeadLetter => {
                    given.insert(target.name);
                    findings.problem(
                        candidate.at,
                        reason(target),
                        mismatch.into_problem(target.name, candidate.path),
                    );
                }
                InvalidValue::Omit => findings.omit(Omitted {
                    entity: fields.entity,
                    field: target.name.to_owned(),
                    trait_path: candidate.path,
                    why: mismatch.problem,
                }),
            },
        }
    }
    if let Some(id) = context.external_id {
        match text(&id.into(), Some(TEXT_LIMIT), rules.coercion) {
            Ok(id) => drop(record.fields.insert("external_id".into(), id)),
            Err(mismatch) => {
                let problem = mismatch.into_problem("external_id", "userId".into());
                findings.problem(FIRST, DeadLetterReason::InvalidField, problem);
            }
        }
        given.insert("external_id");
    }
    let required = fields.targets.iter().filter(|target| target.required && !target.read_only);
    for target in required.filter(|target| !given.contains(target.name)) {
        if !identifies(fields.entity, target) {
            record.lacking.push(lacking(fields, target, context.scope));
            continue;
        }
        // With `omit`, the caller leaves out the whole company or deal if it has no name.
        if rules.invalid_value == InvalidValue::DeadLetter {
            findings.problem(context.end, DeadLetterReason::InvalidField, nameless(target, context.scope));
        }
    }
    record
}

/// The parent of a field that the traits set and whose choices belong to another field's choice, if there is one.
fn parent<'a>(
    fields: &'a FieldIndex,
    rules: &MappingRules,
    candidates: &[Candidate<'_>],
    winners: &HashMap<&str, usize>,
    context: RecordContext<'a>,
) -> Option<Parent<'a>> {
    let field = winners.keys().find_map(|name| parent_of(fields.entity, name))?;
    let candidate = winners.get(field).and_then(|index| candidates.get(*index));
    let given = candidate.and_then(|candidate| {
        coerce(candidate.target, candidate.value.clone(), rules.coercion).ok().flatten()
    });
    Parent::new(fields, field, given.as_ref(), context.selectors, |name| context.scope.path(name))
}

/// Per field, the index of the trait that sets it: one with a value before null, then the best rank, then the first in
/// the document.
fn winners<'a>(candidates: &[Candidate<'a>]) -> HashMap<&'a str, usize> {
    let mut ranked: Vec<(usize, &Candidate<'a>)> = candidates.iter().enumerate().collect();
    ranked.sort_by_key(|(_, candidate)| (candidate.value.is_null(), candidate.rank));
    let mut winners = HashMap::new();
    for (index, candidate) in ranked {
        winners.entry(candidate.target.name).or_insert(index);
    }
    winners
}

/// Why no trait may set this field; `None` if one may.
pub(super) fn managed(entity: Entity, target: Target<'_>, user_id: UserId) -> Option<&'static str> {
    match (entity, target.name) {
        (Entity::Contact, "sales_accounts") => Some("set through company"),
        (Entity::Deal, "contacts") => Some("set through the contact"),
        (Entity::Contact, "external_id") if user_id == UserId::Known => Some("userId sets this field"),
        _ => target.read_only.then_some("read-only field"),
    }
}

/// Whether null may empty the field. It may not empty what identifies or links the record.
fn clearable(entity: Entity, target: Target<'_>) -> bool {
    match entity {
        Entity::Contact => target.name != "emails",
        Entity::SalesAccount => target.name != "name",
        Entity::Deal => !matches!(target.name, "name" | "sales_account_id"),
    }
}

/// Whether the record is upserted by this field, so that none can be written without it.
fn identifies(entity: Entity, target: Target<'_>) -> bool {
    match entity {
        Entity::Contact => false,
        Entity::SalesAccount | Entity::Deal => target.name == "name",
    }
}

fn reason(target: Target<'_>) -> DeadLetterReason {
    if target.custom { DeadLetterReason::InvalidCustomField } else { DeadLetterReason::InvalidField }
}

fn lacking(fields: &FieldIndex, target: Target<'_>, scope: Scope) -> Lacking {
    let trait_name = match (fields.entity, target.name) {
        (Entity::Contact, "sales_accounts") => "company".to_owned(),
        _ => fields.trait_name(target),
    };
    Lacking {
        field: target.name.to_owned(),
        trait_path: scope.path(&trait_name),
        custom: target.custom,
        default: fields.default_of(target).cloned(),
    }
}

fn nameless(target: Target<'_>, scope: Scope) -> Problem {
    Problem {
        field: Some(target.name.to_owned()),
        trait_path: Some(scope.path(target.name)),
        problem: "a required field is missing".into(),
        expected: Some(wanted(target).into()),
        ..Problem::default()
    }
}
