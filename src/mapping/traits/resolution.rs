//! Which trait could set which field: by the account's overrides, by name, by alias. `record` calls it and chooses
//! among the candidates. A value is looked at only where it decides what the trait is: null, an address, a full name.

use std::collections::HashSet;
use std::mem::take;

use super::aliases::{address_field, named_field};
use super::candidate::{Candidates, FieldCandidate, NO_SUCH_FIELD};
use super::full_name;
use super::overrides;
use super::special::{SpecialPositions, SpecialTrait};
use crate::mapping::fields::FoldedName;
use crate::mapping::fields::field_index::{FieldIndex, Override, Rank, named_like_custom};
use crate::mapping::outcome::findings::Findings;
use crate::mapping::outcome::position::{At, Scope, TraitPath};
use crate::mapping::{MappingRules, NullTraits, UnknownCustomField};
use crate::outcome::{DeadLetterReason, Problem};
use crate::schema::Entity;
use crate::segment::{Entries, Given, fold_into};

/// For this many unknown custom fields of an event the nearest name is looked up, which compares every field.
const MOST_COMPARED: usize = 16;

/// The most candidates for which room is made at once.
const USUAL_CANDIDATES: usize = 16;

/// Lists the candidates of a record. Their traits are taken, special ones are left. A trait that names no field is ignored
/// or a problem; null makes a candidate only where the rules say that it clears the field.
pub(in crate::mapping) fn find_candidates<'a>(
    fields: &'a FieldIndex,
    traits: &mut Entries<'a>,
    (scope, special): (Scope, SpecialPositions),
    rules: &MappingRules,
    candidates: &mut Candidates<'a>,
    findings: &mut Findings,
) {
    let special = (fields.entity == Entity::Contact).then_some(special);
    let Candidates { list, folded, .. } = candidates;
    list.clear();
    list.reserve(traits.len().min(USUAL_CANDIDATES));
    let mut resolution = Resolution { fields, scope, rules, findings, candidates: list };
    let read = resolution.overrides(traits, special);
    let mut full_names = Vec::new();
    for (position, (key, value)) in traits.iter_mut().enumerate() {
        // What an override has read was replaced with null, which is not the sender's null.
        if value.is_null() && (!resolution.clears() || read.contains(&position)) {
            if !read.contains(&position) {
                resolution.findings.record_null(fields.entity, || scope.path(key));
            }
            continue;
        }
        if let Some((positions, special)) = special.and_then(|at| Some((at, SpecialTrait::of(key)?))) {
            if !value.is_null() && positions.position(special) != Some(position) {
                resolution.ignore(|| scope.path(key), full_name::OTHER_SPELLING);
            }
            continue;
        }
        let at = scope.at(position);
        let (path, value) = (TraitPath::of(scope, take(key)), take(value));
        fold_into(folded, &path.key);
        if *folded == "address"
            && fields.entity != Entity::Deal
            && let Given::Object(parts) = value
        {
            resolution.address(&path, parts, at);
            continue;
        }
        if let Some((rank, target)) = named_field(fields, &path.key, FoldedName::of(folded)) {
            resolution.candidates.push(FieldCandidate { at, rank, path, value, target });
        } else if fields.entity == Entity::Contact
            && *folded == "name"
            && let Given::Text(name) = value
        {
            full_names.push((at, path, name));
        } else if !value.is_null() {
            resolution.no_field(&path, at);
        }
    }
    full_name::add_candidates(fields, full_names, findings, list);
    list.sort_by_key(|candidate| candidate.at);
}

struct Resolution<'a, 'e> {
    fields: &'a FieldIndex,
    scope: Scope,
    rules: &'e MappingRules,
    findings: &'e mut Findings,
    candidates: &'e mut Vec<FieldCandidate<'a>>,
}

impl<'a> Resolution<'a, '_> {
    fn clears(&self) -> bool {
        self.rules.null_traits == NullTraits::Clear
    }

    fn ignore(&mut self, path: impl FnOnce() -> String, why: &'static str) {
        self.findings.ignore(self.fields.entity, path, why);
    }

    /// Follows the account's overrides; returns the positions of the traits they read.
    fn overrides(&mut self, traits: &mut Entries<'a>, special: Option<SpecialPositions>) -> HashSet<usize> {
        let mut read = HashSet::new();
        for rule in &self.fields.overrides {
            let Some((position, value)) = overrides::take(traits, &rule.path, special) else { continue };
            read.insert(position);
            if value.is_null() && !self.clears() {
                continue;
            }
            let at = self.scope.at(position);
            let path = TraitPath::of(self.scope, rule.path.as_str().into());
            let text = path.text();
            match self.fields.overridden(rule) {
                Some(target) => {
                    self.candidates.push(FieldCandidate { at, rank: Rank::Override, path, value, target });
                }
                None if value.is_null() => continue,
                None => self.missing_target(rule, at, &path),
            }
            self.findings.overridden.insert(text);
        }
        read
    }

    fn address(&mut self, trait_path: &TraitPath<'a>, parts: Entries<'a>, at: At) {
        let clears = self.clears();
        for (part, value) in parts.into_iter().filter(|(_, value)| clears || !value.is_null()) {
            let target = address_field(self.fields, &part);
            let path = TraitPath { part: Some(part), ..trait_path.clone() };
            match target {
                Some(target) => {
                    self.candidates.push(FieldCandidate { at, rank: Rank::Alias, path, value, target });
                }
                None if value.is_null() || self.findings.is_overridden(&path) => {}
                None => self.ignore(|| path.text(), NO_SUCH_FIELD),
            }
        }
    }

    fn no_field(&mut self, path: &TraitPath<'_>, at: At) {
        if self.findings.is_overridden(path) {
            return;
        }
        match self.rules.unknown_custom_field {
            UnknownCustomField::DeadLetter if named_like_custom(&path.key) => {
                let compare = self.findings.problem_count() < MOST_COMPARED;
                let nearest = compare.then(|| self.fields.nearest(&path.key)).flatten();
                let problem = Problem {
                    trait_path: Some(path.text()),
                    problem: format!(
                        "the account has no such custom field of its {}",
                        self.fields.entity.plural()
                    ),
                    expected: Some(a_field(nearest)),
                    ..Problem::default()
                };
                self.findings.problem(at, DeadLetterReason::UnknownCustomField, problem);
            }
            UnknownCustomField::DeadLetter | UnknownCustomField::Ignore => {
                self.ignore(|| path.text(), NO_SUCH_FIELD);
            }
        }
    }

    /// The configuration sends the trait to a field that the account does not have.
    fn missing_target(&mut self, rule: &Override, at: At, path: &TraitPath<'_>) {
        let reason = match (named_like_custom(&rule.field), self.rules.unknown_custom_field) {
            (true, UnknownCustomField::Ignore) => return self.ignore(|| path.text(), NO_SUCH_FIELD),
            (true, UnknownCustomField::DeadLetter) => DeadLetterReason::UnknownCustomField,
            (false, UnknownCustomField::Ignore | UnknownCustomField::DeadLetter) => {
                DeadLetterReason::InvalidField
            }
        };
        let problem = Problem {
            field: Some(rule.field.clone()),
            trait_path: Some(path.text()),
            problem: "the configuration sends this trait to a field that the account does not have".into(),
            expected: Some(a_field(self.fields.nearest(&rule.field))),
            ..Problem::default()
        };
        self.findings.problem(at, reason, problem);
    }
}

fn a_field(nearest: Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("a field of the account; the nearest is {nearest}"),
        None => "a field of the account".into(),
    }
}
