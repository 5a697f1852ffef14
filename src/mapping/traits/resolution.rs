//! Which trait claims which field: overrides, names, aliases. Values are not judged here.

use std::collections::HashSet;

use serde_json::Value;

use super::candidate::{Claim, NO_SUCH_FIELD};
use super::full_name;
use super::special::{Consumed, Special};
use crate::mapping::fields::field_index::{Names, Override, Rank, named_like_custom};
use crate::mapping::fields::target::Target;
use crate::mapping::findings::Findings;
use crate::mapping::position::{At, Scope};
use crate::mapping::{MappingRules, NullTraits, UnknownCustomField};
use crate::outcome::{DeadLetterReason, Problem};
use crate::schema::Entity;
use crate::segment::{JsonMap, fold};

/// The nearest name is looked for of this many unknown custom fields; an event may have thousands.
const COMPARED: usize = 16;

/// Sends each trait on its way, in document order; what has no way is ignored or a flaw. Nulls claim fields only where
/// they clear them.
pub(in crate::mapping) fn claims<'a>(
    names: &'a Names,
    mut traits: JsonMap,
    scope: Scope,
    consumed: Consumed,
    rules: &MappingRules,
    findings: &mut Findings,
) -> Vec<Claim<'a>> {
    let special = |key: &str| Special::of(key).filter(|_| names.entity == Entity::Contact);
    let unknown = rules.unknown_custom_field;
    let clears = rules.null_traits == NullTraits::Clear;
    let mut claims = Vec::new();
    // What an override has read is null from then on, which is not the sender's null.
    let mut read = HashSet::new();
    for rule in &names.overrides {
        let Some((position, value)) = take(&mut traits, &rule.path, consumed, special) else { continue };
        read.insert(position);
        if value.is_null() && !clears {
            continue;
        }
        let (at, path) = (scope.at(position), scope.path(&rule.path));
        match names.overridden(rule) {
            Some(target) => {
                claims.push(Claim { at, rank: Rank::Override, path: path.clone(), value, target });
            }
            None if value.is_null() => continue,
            None => missing_target(names, rule, at, path.clone(), unknown, findings),
        }
        findings.overridden.insert(path);
    }
    let mut full_names = Vec::new();
    for (position, (key, value)) in traits.into_iter().enumerate() {
        if value.is_null() && (!clears || read.contains(&position)) {
            continue;
        }
        if let Some(special) = special(&key) {
            if !value.is_null() && consumed.position(special) != Some(position) {
                findings.ignore(names.entity, scope.path(&key), full_name::OTHER_SPELLING);
            }
            continue;
        }
        let at = scope.at(position);
        let folded = fold(&key);
        let address = folded == "address" && names.entity != Entity::Deal;
        if let (true, Value::Object(parts)) = (address, &value) {
            let parts = parts.iter().filter(|(_, value)| clears || !value.is_null());
            spread(names, &key, parts, at, scope, findings, &mut claims);
            continue;
        }
        match reached(names, &key, &folded) {
            Some((rank, target)) => claims.push(Claim { at, rank, path: scope.path(&key), value, target }),
            None if value.is_null() => {}
            None => match value.as_str().filter(|_| folded == "name" && names.entity == Entity::Contact) {
                Some(name) => full_names.push((at, key, name.to_owned())),
                None => no_field(names, &key, at, scope.path(&key), unknown, findings),
            },
        }
    }
    full_name::claim(names, full_names, scope, findings, &mut claims);
    claims.sort_by_key(|claim| claim.at);
    claims
}

/// Takes the value an override's path leads to: the literal key first, else into objects. What the contact consumes is
/// only read, in whatever spelling it is there.
fn take(
    traits: &mut JsonMap,
    path: &str,
    consumed: Consumed,
    special: impl Fn(&str) -> Option<Special>,
) -> Option<(usize, Value)> {
    let first = path.split('.').next().unwrap_or(path);
    let literal = traits.get(path).is_some_and(|value| !value.is_null() || !traits.contains_key(first));
    let head = if literal { path } else { first };
    let tail = path.get(head.len()..).and_then(|rest| rest.strip_prefix('.'));
    let consumes = special(head);
    let position = traits
        .keys()
        .position(|key| key == head)
        .or_else(|| consumes.and_then(|special| consumed.position(special)))?;
    let root = traits.values_mut().nth(position)?;
    let leaf = match tail {
        None => &mut *root,
        Some(tail) => {
            tail.split('.').try_fold(&mut *root, |value, part| value.as_object_mut()?.get_mut(part))?
        }
    };
    let value = if consumes.is_some() { leaf.clone() } else { leaf.take() };
    if hollow(root) {
        *root = Value::Null;
    }
    Some((position, value))
}

/// Whether overrides have taken everything out of an object.
fn hollow(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(|object| object.values().all(hollow))
}

/// The field that a trait reaches, other than by an override.
fn reached<'a>(names: &'a Names, key: &str, folded: &str) -> Option<(Rank, Target<'a>)> {
    let reserved = || {
        let field = match (names.entity, folded) {
            (Entity::SalesAccount, "industry") => "industry_type_id",
            (Entity::SalesAccount, "employees" | "employeecount") => "number_of_employees",
            (Entity::Contact | Entity::SalesAccount | Entity::Deal, _) => return None,
        };
        names.get(field)
    };
    let renamed = || reserved().or_else(|| names.chosen(folded)).map(|target| (Rank::Alias, target));
    alias(names, folded).or_else(|| names.resolve(key)).or_else(renamed)
}

/// Segment's reserved traits that Freshsales calls otherwise.
fn alias<'a>(names: &'a Names, folded: &str) -> Option<(Rank, Target<'a>)> {
    let field = match (names.entity, folded) {
        (Entity::Contact, "title") => "job_title",
        (Entity::Contact, "phone") => "work_number",
        _ => return None,
    };
    names.get(field).map(|target| (Rank::Alias, target))
}

fn spread<'a, 'p>(
    names: &'a Names,
    key: &str,
    parts: impl Iterator<Item = (&'p String, &'p Value)>,
    at: At,
    scope: Scope,
    findings: &mut Findings,
    claims: &mut Vec<Claim<'a>>,
) {
    for (part, value) in parts {
        let path = scope.path(&format!("{key}.{part}"));
        let field = match fold(part).as_str() {
            "street" => Some("address"),
            "city" => Some("city"),
            "state" => Some("state"),
            "postalcode" | "zipcode" => Some("zipcode"),
            "country" => Some("country"),
            _ => None,
        };
        match field.and_then(|field| names.get(field)) {
            Some(target) => {
                claims.push(Claim { at, rank: Rank::Alias, path, value: value.clone(), target });
            }
            None if value.is_null() || findings.overridden.contains(&path) => {}
            None => findings.ignore(names.entity, path, NO_SUCH_FIELD),
        }
    }
}

fn no_field(
    names: &Names,
    key: &str,
    at: At,
    path: String,
    unknown: UnknownCustomField,
    findings: &mut Findings,
) {
    if findings.overridden.contains(&path) {
        return;
    }
    if named_like_custom(key) && unknown == UnknownCustomField::DeadLetter {
        let compared = findings.flaws() < COMPARED;
        let nearest = compared.then(|| names.nearest(key)).flatten();
        let problem = Problem {
            trait_path: Some(path),
            problem: format!("the account has no such custom field of its {}", names.entity.plural()),
            expected: Some(match nearest {
                Some(nearest) => format!("a field of the account; the nearest is {nearest}"),
                None => "a field of the account".into(),
            }),
            ..Problem::default()
        };
        findings.flaw(at, DeadLetterReason::UnknownCustomField, problem);
        return;
    }
    findings.ignore(names.entity, path, NO_SUCH_FIELD);
}

fn missing_target(
    names: &Names,
    rule: &Override,
    at: At,
    path: String,
    unknown: UnknownCustomField,
    findings: &mut Findings,
) {
    let reason = match (named_like_custom(&rule.field), unknown) {
        (true, UnknownCustomField::Ignore) => return findings.ignore(names.entity, path, NO_SUCH_FIELD),
        (true, UnknownCustomField::DeadLetter) => DeadLetterReason::UnknownCustomField,
        (false, _) => DeadLetterReason::InvalidField,
    };
    let nearest = names.nearest(&rule.field);
    let problem = Problem {
        field: Some(rule.field.clone()),
        trait_path: Some(path),
        problem: "the configuration sends this trait to a field that the account does not have".into(),
        expected: Some(match nearest {
            Some(nearest) => format!("a field of the account; the nearest is {nearest}"),
            None => "a field of the account".into(),
        }),
        ..Problem::default()
    };
    findings.flaw(at, reason, problem);
}
