//! One record from one set of traits: every claim settled, every value coerced, and what is required of a new
//! record and not given.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::email;
use super::findings::Findings;
use super::position::{At, FIRST, Scope};
use super::{InvalidValue, Lacking, MappingRules, Omitted, Record};
use crate::mapping::fields::field_index::Names;
use crate::mapping::fields::target::Target;
use crate::mapping::traits::candidate::Claim;
use crate::mapping::traits::resolution::claims;
use crate::mapping::traits::special::Consumed;
use crate::mapping::values::coerce::{TEXT_LIMIT, coerce, kept, text, wanted};
use crate::mapping::values::owners;
use crate::mapping::values::parents::{Parent, parent_of};
use crate::outcome::{DeadLetterReason, Problem};
use crate::schema::{Entity, Selectors};
use crate::segment::JsonMap;

/// What the rest of the event says of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) scope: Scope,
    /// Which of a contact's traits are no fields of it.
    pub(super) consumed: Consumed,
    pub(super) selectors: &'a Selectors,
    /// The contact's identifying address, where there is one.
    pub(super) email: Option<&'a str>,
    /// The contact's `external_id`, where the event's `userId` sets it.
    pub(super) external_id: Option<&'a str>,
    /// Fields that linking fills in later.
    pub(super) linked: &'a [&'static str],
    /// Where a missing field is reported.
    pub(super) end: At,
}

pub(super) fn record(
    names: &Names,
    rules: &MappingRules,
    traits: JsonMap,
    around: Surroundings<'_>,
    findings: &mut Findings,
) -> Record {
    let mut record = Record::default();
    if let Some(email) = around.email {
        record.fields.insert("emails".into(), email.into());
    }
    let claims = claims(names, traits, around.scope, around.consumed, rules, findings);
    let winners = winners(&claims);
    let parent = parent(names, rules, &claims, &winners, around);
    // A field with a value that does not fit is not missing as well.
    let mut given: HashSet<&str> = around.linked.iter().copied().collect();
    for (index, claim) in claims.into_iter().enumerate() {
        let target = claim.target;
        if claim.value.is_null() {
            let clears = winners.get(target.name) == Some(&index)
                && managed(names.entity, target, around.external_id.is_some()).is_none()
                && clearable(names.entity, target);
            if clears {
                let values = if target.custom { &mut record.custom_field } else { &mut record.fields };
                values.insert(target.name.to_owned(), Value::Null);
                given.insert(target.name);
            }
            continue;
        }
        if let Some(why) = managed(names.entity, target, around.external_id.is_some()) {
            findings.ignore(names.entity, claim.path, why);
            continue;
        }
        if winners.get(target.name) != Some(&index) {
            findings.ignore(names.entity, claim.path, "another trait sets this field");
            continue;
        }
        let coerced = if names.entity == Entity::Contact && target.name == "emails" {
            email::list(claim.value, around.email)
        } else if let Some(parent) = &parent
            && parent_of(names.entity, target.name).is_some()
        {
            parent.settle(target, &claim.value, rules.coercion, &mut findings.needs)
        } else if target.name == "owner_id" {
            coerce(target, claim.value.clone(), rules.coercion).or_else(|misfit| {
                owners::by_address(target, &claim.value, misfit, around.selectors, &mut findings.needs)
            })
        } else {
            coerce(target, claim.value, rules.coercion)
        };
        match coerced.and_then(|value| kept(names.entity, target, value)) {
            Ok(Some(value)) => {
                let values = if target.custom { &mut record.custom_field } else { &mut record.fields };
                values.insert(target.name.to_owned(), value);
                given.insert(target.name);
            }
            Ok(None) => findings.ignore(names.entity, claim.path, "empty"),
            Err(misfit) => match rules.invalid_value {
                InvalidValue::DeadLetter => {
                    given.insert(target.name);
                    findings.flaw(claim.at, refusing(target), misfit.into_problem(target.name, claim.path));
                }
                InvalidValue::Omit => findings.omit(Omitted {
                    entity: names.entity,
                    field: target.name.to_owned(),
                    trait_path: claim.path,
                    why: misfit.problem,
                }),
            },
        }
    }
    if let Some(id) = around.external_id {
        match text(&id.into(), Some(TEXT_LIMIT), rules.coercion) {
            Ok(id) => drop(record.fields.insert("external_id".into(), id)),
            Err(misfit) => {
                let problem = misfit.into_problem("external_id", "userId".into());
                findings.flaw(FIRST, DeadLetterReason::InvalidField, problem);
            }
        }
        given.insert("external_id");
    }
    let required = names.targets.iter().filter(|target| target.required && !target.read_only);
    for target in required.filter(|target| !given.contains(target.name)) {
        if !identifies(names.entity, target) {
            record.lacking.push(lacking(names, target, around.scope));
            continue;
        }
        // Otherwise a company or deal without its name is left out as a whole.
        if rules.invalid_value == InvalidValue::DeadLetter {
            findings.flaw(around.end, DeadLetterReason::InvalidField, nameless(target, around.scope));
        }
    }
    record
}

/// What is known of the field that a child among the claims belongs to; none if there is no such child.
fn parent<'a>(
    names: &'a Names,
    rules: &MappingRules,
    claims: &[Claim<'_>],
    winners: &HashMap<&str, usize>,
    around: Surroundings<'a>,
) -> Option<Parent<'a>> {
    let field = winners.keys().find_map(|name| parent_of(names.entity, name))?;
    let claim = winners.get(field).and_then(|index| claims.get(*index));
    let given =
        claim.and_then(|claim| coerce(claim.target, claim.value.clone(), rules.coercion).ok().flatten());
    Parent::new(names, field, given.as_ref(), around.selectors, |name| around.scope.path(name))
}

/// Per field the claim that has it: one with a value, then the best rank, then the first in the document.
fn winners<'a>(claims: &[Claim<'a>]) -> HashMap<&'a str, usize> {
    let mut ranked: Vec<(usize, &Claim<'a>)> = claims.iter().enumerate().collect();
    ranked.sort_by_key(|(_, claim)| (claim.value.is_null(), claim.rank));
    let mut winners = HashMap::new();
    for (index, claim) in ranked {
        winners.entry(claim.target.name).or_insert(index);
    }
    winners
}

/// Why no trait may write this field, if none may.
pub(super) fn managed(entity: Entity, target: Target<'_>, user_known: bool) -> Option<&'static str> {
    match (entity, target.name) {
        (Entity::Contact, "sales_accounts") => Some("set through company"),
        (Entity::Deal, "contacts") => Some("set through the contact"),
        (Entity::Contact, "external_id") if user_known => Some("userId sets this field"),
        _ => target.read_only.then_some("read-only field"),
    }
}

/// Whether null may empty the field: not what the record is known by, nor its links.
fn clearable(entity: Entity, target: Target<'_>) -> bool {
    match entity {
        Entity::Contact => target.name != "emails",
        Entity::SalesAccount => target.name != "name",
        Entity::Deal => !matches!(target.name, "name" | "sales_account_id"),
    }
}

/// Whether the field is what the record is upserted by, so that no record can be written without it.
fn identifies(entity: Entity, target: Target<'_>) -> bool {
    match entity {
        Entity::Contact => false,
        Entity::SalesAccount | Entity::Deal => target.name == "name",
    }
}

fn refusing(target: Target<'_>) -> DeadLetterReason {
    if target.custom { DeadLetterReason::InvalidCustomField } else { DeadLetterReason::InvalidField }
}

fn lacking(names: &Names, target: Target<'_>, scope: Scope) -> Lacking {
    let trait_name = match (names.entity, target.name) {
        (Entity::Contact, "sales_accounts") => "company".to_owned(),
        _ => names.trait_name(target),
    };
    Lacking {
        field: target.name.to_owned(),
        trait_path: scope.path(&trait_name),
        custom: target.custom,
        default: names.defaults.get(&target.place).cloned(),
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
