//! Which field a trait's name means: one entity's fields, prepared for look-ups.

use std::collections::BTreeMap;

use serde_json::Value;

use super::string_arena::small;
use super::target::{Target, Targets};
use crate::schema::{ChoiceId, Entity, Field, FieldType, Parents};
use crate::segment::{fold, folds_to, letters};

/// How much alike the nearest name has to be, from 0 to 1.
const LIKENESS: f64 = 0.88;

/// Longer names are not compared: likeness costs the product of both lengths.
const COMPARED_LIMIT: usize = 64;

/// How well a trait names a field; of two traits for one field the better wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mapping) enum Rank {
    /// The account's configuration says so.
    Override,
    /// The internal name, to the letter.
    Exact,
    /// The internal name but for case, underscores and hyphens.
    Folded,
    /// Segment's own name for it, or a drop-down's name without `_id`.
    Alias,
}

/// A trait path that the configuration sends to a field; the target is none if no such field exists.
#[derive(Debug)]
pub(in crate::mapping) struct Override {
    pub(in crate::mapping) path: String,
    pub(in crate::mapping) field: String,
    target: Option<u32>,
}

/// One entity's fields by every name a trait may use.
#[derive(Debug)]
pub(in crate::mapping) struct Names {
    pub(in crate::mapping) entity: Entity,
    pub(in crate::mapping) targets: Targets,
    pub(in crate::mapping) overrides: Box<[Override]>,
    /// By the field's place: what is sent where Freshsales refuses a record for want of it.
    pub(in crate::mapping) defaults: BTreeMap<u32, Value>,
    /// The pipeline of each stage of a deal.
    pub(in crate::mapping) pipelines: Parents,
    /// The fields' places, sorted by their names; of equal ones the first in the account's order comes first.
    exact: Box<[u32]>,
    /// The same, sorted by their folded names.
    folded: Box<[u32]>,
}

impl Names {
    pub(in crate::mapping) fn new(
        entity: Entity,
        mut fields: Vec<Field>,
        overrides: BTreeMap<String, String>,
    ) -> Self {
        match entity {
            Entity::Contact => {}
            // The name is what these are upserted by, whatever the schema says of it.
            Entity::SalesAccount | Entity::Deal => match fields.iter_mut().find(|f| f.name == "name") {
                Some(name) => name.required = true,
                None => fields.push(demanded_name()),
            },
        }
        let mut exact: Box<[u32]> = (0..small(fields.len())).collect();
        let mut folded = exact.clone();
        let pipelines = pipelines(entity, &fields);
        let targets = Targets::new(fields);
        let name = |place: &u32| targets.get(*place).map(|target| target.name).unwrap_or_default();
        exact.sort_by_key(name);
        folded.sort_by_cached_key(|place| fold(name(place)));
        let mut names = Self {
            entity,
            targets,
            overrides: Box::default(),
            defaults: BTreeMap::new(),
            pipelines,
            exact,
            folded,
        };
        names.overrides = overrides
            .into_iter()
            .map(|(path, field)| Override { path, target: names.index(&field), field })
            .collect();
        names
    }

    /// The field of this internal name, to the letter.
    pub(in crate::mapping) fn get(&self, name: &str) -> Option<Target<'_>> {
        let first = self.exact.partition_point(|place| self.name(*place) < name);
        self.targets.get(*self.exact.get(first)?).filter(|target| target.name == name)
    }

    /// The field a trait of this name reaches, aliases aside.
    pub(in crate::mapping) fn resolve(&self, key: &str) -> Option<(Rank, Target<'_>)> {
        let exact = self.get(key).map(|target| (Rank::Exact, target));
        exact.or_else(|| self.get_folded(&fold(key)).map(|target| (Rank::Folded, target)))
    }

    /// The drop-down `x_id` that a trait `x` means, given folded. One without choices takes ids only, and nobody writes an
    /// id into `x`.
    pub(in crate::mapping) fn chosen(&self, folded: &str) -> Option<Target<'_>> {
        self.get_folded(&format!("{folded}id")).filter(|target| {
            let one = matches!(target.kind, FieldType::Dropdown | FieldType::Radio);
            one && !target.choices.is_empty() && target.name.ends_with("_id")
        })
    }

    /// The field an override leads to.
    pub(in crate::mapping) fn overridden(&self, rule: &Override) -> Option<Target<'_>> {
        rule.target.and_then(|place| self.targets.get(place))
    }

    /// What a sender writes to reach a field: its name in camelCase, or as it is where another field would answer to
    /// that.
    pub(in crate::mapping) fn trait_name(&self, target: Target<'_>) -> String {
        let camel = camel_case(target.name);
        if self.index(&camel) == Some(target.place) { camel } else { target.name.to_owned() }
    }

    /// The trait name of the field most like this one, if any is.
    pub(in crate::mapping) fn nearest(&self, key: &str) -> Option<String> {
        if key.len() > COMPARED_LIMIT {
            return None;
        }
        let key = fold(key);
        self.targets
            .iter()
            .filter(|target| !target.read_only)
            .map(|target| (strsim::jaro_winkler(&key, &fold(target.name)), target))
            .filter(|(likeness, _)| *likeness >= LIKENESS)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, target)| self.trait_name(target))
    }

    fn get_folded(&self, folded: &str) -> Option<Target<'_>> {
        let before = |place: &u32| letters(self.name(*place)).lt(folded.chars());
        let first = self.folded.partition_point(before);
        self.targets.get(*self.folded.get(first)?).filter(|target| folds_to(target.name, folded))
    }

    fn index(&self, key: &str) -> Option<u32> {
        self.resolve(key).map(|(_, target)| target.place)
    }

    fn name(&self, place: u32) -> &str {
        self.targets.get(place).map(|target| target.name).unwrap_or_default()
    }
}

/// Only a deal's stages belong to pipelines; what else carries one does not depend on it.
fn pipelines(entity: Entity, fields: &[Field]) -> Parents {
    let stages = fields.iter().find(|field| entity == Entity::Deal && field.name == "deal_stage_id");
    let choices = stages.into_iter().flat_map(|field| &field.choices);
    let pair = |choice: &crate::schema::Choice| match choice.id {
        ChoiceId::Number(id) => Some((id, choice.pipeline?)),
        ChoiceId::Text(_) => None,
    };
    choices.filter_map(pair).collect()
}

/// For an account that does not tell of its field `name`.
fn demanded_name() -> Field {
    Field {
        label: String::new(),
        name: "name".to_owned(),
        kind: FieldType::Text,
        default: true,
        actionable: true,
        required: true,
        choices: Vec::new(),
        multiple: false,
        auto_suggest_url: None,
    }
}

/// An internal name as a trait: `cf_plan_type` is `cfPlanType`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_').filter(|word| !word.is_empty());
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        camel.push_str(letters.as_str());
    }
    camel
}

/// Whether a trait's name says that a custom field is meant: `cf_plan`, `cf-plan`, `cfPlan`, `cf2`, but not `cfo`.
pub(in crate::mapping) fn named_like_custom(key: &str) -> bool {
    let Some((start, rest)) = key.split_at_checked(2) else { return false };
    let next = rest.chars().next();
    (start.eq_ignore_ascii_case("cf") && matches!(next, Some('_' | '-')))
        || (start == "cf" && next.is_some_and(|c| c.is_uppercase() || c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_names_are_told_from_words() {
        for custom in ["cf_plan", "cf-plan", "CF_plan", "Cf_x", "cfPlan", "cf2", "cf_"] {
            assert!(named_like_custom(custom), "{custom}");
        }
        for word in ["cfo", "cf", "CFO", "CFPlan", "config", "", "c", "çf_x", "xcf_"] {
            assert!(!named_like_custom(word), "{word}");
        }
    }

    #[test]
    fn camel_case_folds_back() {
        for (name, camel) in [
            ("first_name", "firstName"),
            ("cf_alternate_number", "cfAlternateNumber"),
            ("cf_2nd", "cf2nd"),
            ("city", "city"),
        ] {
            assert_eq!(camel_case(name), camel);
            assert_eq!(fold(camel), fold(name));
        }
    }
}
