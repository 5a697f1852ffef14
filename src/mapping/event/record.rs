//! One record from one set of traits: it chooses a trait for each field, coerces the value, and lists the required
//! fields that the event does not give. The mapper calls it for the contact, `related` for the company and the deal.

use std::mem::take;

use serde_json::Value;

use super::email;
use crate::mapping::fields::field_index::{FieldIndex, Rank};
use crate::mapping::fields::target::TargetField;
use crate::mapping::fields::writable::{UserId, clearable, identifies, managed};
use crate::mapping::outcome::findings::Findings;
use crate::mapping::outcome::position::{At, FIRST, Scope, TraitPath};
use crate::mapping::traits::candidate::{Candidates, FieldCandidate, Winners};
use crate::mapping::traits::resolution::find_candidates;
use crate::mapping::traits::special::SpecialPositions;
use crate::mapping::values::coerce::{SINGLE_LINE_LIMIT, check_range, coerce, text, wanted};
use crate::mapping::values::mismatch::TypeMismatch;
use crate::mapping::values::owners;
use crate::mapping::values::parents::{Parent, parent_of};
use crate::mapping::{FoundBy, InvalidValue, Lacking, MappingRules, Omitted, Record, SetField};
use crate::outcome::{DeadLetterReason, Problem};
use crate::schema::{Entity, Selectors};
use crate::segment::{Entries, Given};

/// What a record needs to know of the event around its traits.
#[derive(Debug, Clone, Copy)]
pub(in crate::mapping) struct RecordContext<'a> {
    pub(in crate::mapping) scope: Scope,
    pub(in crate::mapping) special: SpecialPositions,
    pub(in crate::mapping) selectors: &'a Selectors,
    /// The address that identifies the contact.
    pub(in crate::mapping) email: Option<&'a str>,
    /// The `userId`, where it becomes the contact's `external_id`.
    pub(in crate::mapping) external_id: Option<&'a str>,
    /// Fields that are set later, when records are linked; they are not missing.
    pub(in crate::mapping) linked: &'a [&'static str],
    /// The position at which a missing field is reported.
    pub(in crate::mapping) end: At,
}

impl RecordContext<'_> {
    fn user_id(&self) -> UserId {
        match self.external_id {
            Some(_) => UserId::Known,
            None => UserId::Unknown,
        }
    }
}

/// The record that these traits give. It takes them, special ones excepted.
pub(in crate::mapping) fn record<'a>(
    fields: &'a FieldIndex,
    rules: &'a MappingRules,
    traits: &mut Entries<'a>,
    context: RecordContext<'a>,
    candidates: &mut Candidates<'a>,
    findings: &mut Findings,
) -> Record {
    find_candidates(fields, traits, (context.scope, context.special), rules, candidates, findings);
    let Candidates { list, winners, .. } = candidates;
    winners.choose(fields, list);
    let parent = parent(fields, rules, list, winners, context);
    let mut builder =
        Builder { fields, rules, context, findings, record: Record::default(), given: Vec::new() };
    builder.set_email();
    for (index, candidate) in list.iter_mut().enumerate() {
        let wins = winners.of_field(candidate.target) == Some(index);
        match managed(fields.entity, candidate.target, context.user_id()) {
            None if wins && candidate.value.is_null() => builder.clear(candidate),
            None if wins => builder.set(candidate, parent.as_ref()),
            _ if candidate.value.is_null() => {}
            None => builder.ignore(&candidate.path, "another trait sets this field"),
            Some(why) => builder.ignore(&candidate.path, why),
        }
    }
    builder.set_external_id();
    builder.add_missing();
    builder.record
}

struct Builder<'a, 'e> {
    fields: &'a FieldIndex,
    rules: &'a MappingRules,
    context: RecordContext<'a>,
    findings: &'e mut Findings,
    record: Record,
    /// Required fields that are not reported as missing: those that are set, and those whose value was refused.
    given: Vec<&'a str>,
}

impl<'a> Builder<'a, '_> {
    fn set_email(&mut self) {
        if let Some(email) = self.context.email {
            self.record.fields.add("emails", &email.into());
        }
    }

    fn ignore(&mut self, path: &TraitPath<'_>, why: &'static str) {
        self.findings.ignore(self.fields.entity, || path.text(), why);
    }

    fn clear(&mut self, candidate: &FieldCandidate<'a>) {
        let FieldCandidate { path, target, rank, .. } = candidate;
        if clearable(self.fields.entity, *target) {
            self.record_set(path, *target, *rank, Value::Null, &Given::Null);
            self.insert(*target, &Given::Null);
        }
    }

    fn record_set(
        &mut self,
        path: &TraitPath<'_>,
        target: TargetField<'_>,
        rank: Rank,
        given: Value,
        sent: &Given<'_>,
    ) {
        let entity = self.fields.entity;
        self.findings.record_set(|| SetField {
            entity,
            trait_path: path.text(),
            field: target.name.to_owned(),
            how: rank.into(),
            given,
            sent: sent.to_value(),
        });
    }

    fn set(&mut self, candidate: &mut FieldCandidate<'a>, parent: Option<&Parent<'_>>) {
        let FieldCandidate { at, path, value, target, rank } = candidate;
        let (at, value, target, rank) = (*at, take(value), *target, *rank);
        let given = self.findings.is_recording().then(|| value.to_value());
        let coerced = self.coerced(target, value, parent);
        match coerced.and_then(|value| check_range(self.fields.entity, target, value)) {
            Ok(Some(value)) => {
                if let Some(given) = given {
                    self.record_set(path, target, rank, given, &value);
                }
                self.insert(target, &value);
            }
            Ok(None) => self.ignore(path, "empty"),
            Err(mismatch) => match self.rules.invalid_value {
                InvalidValue::DeadLetter => {
                    self.give(target);
                    let problem = mismatch.into_problem(target.name, path.text());
                    self.findings.problem(at, reason(target), problem);
                }
                InvalidValue::Omit => self.findings.omit(Omitted {
                    entity: self.fields.entity,
                    field: target.name.to_owned(),
                    trait_path: path.text(),
                    why: mismatch.problem,
                }),
            },
        }
    }

    fn coerced(
        &mut self,
        target: TargetField<'a>,
        value: Given<'a>,
        parent: Option<&Parent<'_>>,
    ) -> Result<Option<Given<'a>>, TypeMismatch> {
        let coercion = self.rules.coercion;
        let needs = &mut self.findings.needs;
        match (self.fields.entity, target.name) {
            (Entity::Contact, "emails") => email::list(value, self.context.email),
            (entity, name) if parent_of(entity, name).is_some() => match parent {
                Some(parent) => parent.coerce_child(target, &value, coercion, needs),
                None => coerce(target, value, coercion),
            },
            (_, "owner_id") => coerce(target, value.clone(), coercion).or_else(|mismatch| {
                owners::by_address(target, &value, mismatch, self.context.selectors, needs)
            }),
            _ => coerce(target, value, coercion),
        }
    }

    fn insert(&mut self, target: TargetField<'a>, value: &Given<'_>) {
        let addresses = self.context.email.is_some() && target.name == "emails";
        if target.custom {
            self.record.custom_field.add(target.name, value);
        } else if addresses {
            self.record.fields.replace(target.name, value);
        } else {
            self.record.fields.add(target.name, value);
        }
        self.give(target);
    }

    fn give(&mut self, target: TargetField<'a>) {
        if target.required {
            self.given.push(target.name);
        }
    }

    fn set_external_id(&mut self) {
        let Some(id) = self.context.external_id else { return };
        match text(id.into(), Some(SINGLE_LINE_LIMIT), self.rules.coercion) {
            Ok(id) => {
                self.findings.record_set(|| SetField {
                    entity: Entity::Contact,
                    trait_path: "userId".into(),
                    field: "external_id".into(),
                    how: FoundBy::Name,
                    given: id.to_value(),
                    sent: id.to_value(),
                });
                self.record.fields.add("external_id", &id);
            }
            Err(mismatch) => {
                let problem = mismatch.into_problem("external_id", "userId".into());
                self.findings.problem(FIRST, DeadLetterReason::InvalidField, problem);
            }
        }
    }

    fn add_missing(&mut self) {
        let set = |name: &str| {
            let by_user = name == "external_id" && self.context.external_id.is_some();
            by_user || self.context.linked.contains(&name) || self.given.contains(&name)
        };
        for target in self.fields.required().filter(|target| !set(target.name)) {
            if !identifies(self.fields.entity, target) {
                self.record.lacking.push(lacking(self.fields, target, self.context.scope));
            } else if self.rules.invalid_value == InvalidValue::DeadLetter {
                // With `omit`, `related` leaves out the whole company or deal if it has no name.
                let problem = nameless(target, self.context.scope);
                self.findings.problem(self.context.end, DeadLetterReason::InvalidField, problem);
            }
        }
    }
}

/// The parent of a field that the traits set and whose choices belong to another field's choice, if there is one.
fn parent<'a>(
    fields: &'a FieldIndex,
    rules: &MappingRules,
    candidates: &[FieldCandidate<'a>],
    winners: &Winners,
    context: RecordContext<'a>,
) -> Option<Parent<'a>> {
    let field = candidates.iter().find_map(|candidate| parent_of(fields.entity, candidate.target.name))?;
    let candidate = fields.get(field).and_then(|target| candidates.get(winners.of_field(target)?));
    let given = candidate.and_then(|candidate| {
        coerce(candidate.target, candidate.value.clone(), rules.coercion).ok().flatten()
    });
    Parent::new(fields, field, given.as_ref(), context.selectors, |name| context.scope.path(name))
}

fn reason(target: TargetField<'_>) -> DeadLetterReason {
    if target.custom { DeadLetterReason::InvalidCustomField } else { DeadLetterReason::InvalidField }
}

fn lacking(fields: &FieldIndex, target: TargetField<'_>, scope: Scope) -> Lacking {
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

fn nameless(target: TargetField<'_>, scope: Scope) -> Problem {
    Problem {
        field: Some(target.name.to_owned()),
        trait_path: Some(scope.path(target.name)),
        problem: "a required field is missing".into(),
        expected: Some(wanted(target).into()),
        ..Problem::default()
    }
}
