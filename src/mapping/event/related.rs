//! The company or the deal that comes with an identify. The mapper asks for each of them.

use super::record::{RecordContext, record};
use crate::mapping::fields::field_index::FieldIndex;
use crate::mapping::outcome::findings::Findings;
use crate::mapping::outcome::position::{At, Scope, bounded};
use crate::mapping::traits::absent::{Absent, absent, is_zero};
use crate::mapping::traits::candidate::Candidates;
use crate::mapping::traits::special::{SpecialPositions, SpecialTrait};
use crate::mapping::{Coercion, InvalidValue, MappingRules, Omitted, RelatedWrite};
use crate::object::string;
use crate::outcome::{DeadLetterReason, Problem};
use crate::schema::{Entity, Selectors};
use crate::segment::{Entries, Given, describe};

/// Why the fields of an entity are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaGap {
    /// The account's API key has no right to read them.
    Forbidden,
    /// Freshsales has none for this account.
    Missing,
    /// No attempt to read them has worked so far. Until one does, no event is refused for it.
    NotYet,
}

/// Which record comes with the contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mapping) enum RelatedKind {
    Company,
    Deal,
}

impl RelatedKind {
    pub(in crate::mapping) const fn entity(self) -> Entity {
        match self {
            Self::Company => Entity::SalesAccount,
            Self::Deal => Entity::Deal,
        }
    }

    /// What the paths of its traits begin with.
    pub(in crate::mapping) const fn prefix(self) -> &'static str {
        match self {
            Self::Company => "company.",
            Self::Deal => "deal.",
        }
    }

    const fn special(self) -> SpecialTrait {
        match self {
            Self::Company => SpecialTrait::Company,
            Self::Deal => SpecialTrait::Deal,
        }
    }
}

/// How one kind of related record is mapped for an account.
#[derive(Debug, Clone, Copy)]
pub(in crate::mapping) struct RelatedRecord<'a> {
    pub(in crate::mapping) kind: RelatedKind,
    pub(in crate::mapping) fields: &'a FieldIndex,
    pub(in crate::mapping) rules: &'a MappingRules,
    pub(in crate::mapping) selectors: &'a Selectors,
    pub(in crate::mapping) gap: Option<SchemaGap>,
}

impl<'a> RelatedRecord<'a> {
    /// Whether the traits hold such a record.
    pub(in crate::mapping) fn is_given(&self, traits: &Entries<'_>, special: SpecialPositions) -> bool {
        let value = special.position(self.kind.special()).and_then(|position| traits.at(position));
        value.is_some_and(|(_, value)| self.absent(value).is_none())
    }

    /// The record to write, if the traits hold one and nothing is wrong with it. Takes it out of the traits. `linked` are
    /// the fields that are set later, when records are linked.
    pub(in crate::mapping) fn write(
        &self,
        traits: &mut Entries<'a>,
        special: SpecialPositions,
        linked: &'a [&'static str],
        candidates: &mut Candidates<'a>,
        findings: &mut Findings,
    ) -> Option<RelatedWrite> {
        let position = special.position(self.kind.special())?;
        let (key, value) = traits.take(position)?;
        let scope = Scope::inside(self.kind.prefix(), position);
        if let Some(absent) = self.absent(&value) {
            findings.ignore(self.kind.entity(), || bounded(key.into_owned()), absent.why());
            return None;
        }
        let mut traits = self.traits(&key, value, scope, findings)?;
        if let Some(gap) = self.gap {
            self.fields_unknown(gap, &key, scope, findings);
            return None;
        }
        let omitted_before = findings.omitted();
        let end = scope.end();
        let context = RecordContext {
            scope,
            special: SpecialPositions::default(),
            selectors: self.selectors,
            email: None,
            external_id: None,
            linked,
            end,
        };
        let mut record = record(self.fields, self.rules, &mut traits, context, candidates, findings);
        let given = record.fields.get("name").and_then(string);
        let name = given.as_ref().map(|name| name.trim().to_owned());
        let blanks = given.as_deref() != name.as_deref();
        if name.is_none() && self.rules.invalid_value == InvalidValue::DeadLetter {
            // `record` has reported it as a problem already.
            return None;
        }
        let problem = if name.is_some() { "the name is blank" } else { "there is no name that fits" };
        let name = name.unwrap_or_default();
        if name.is_empty() {
            let problem = Problem {
                field: Some("name".into()),
                trait_path: Some(scope.path("name")),
                problem: problem.into(),
                expected: Some("a string that is not blank".into()),
                ..Problem::default()
            };
            self.leave_out(end, problem, omitted_before, findings);
            return None;
        }
        if blanks {
            record.fields.replace("name", &name.as_str().into());
        }
        Some(RelatedWrite { name, record })
    }

    fn absent(&self, value: &Given<'_>) -> Option<Absent> {
        let reads_id = self.fields.overrides.iter().any(|rule| rule.path.split('.').next() == Some("id"));
        absent(value, reads_id)
    }

    /// The traits of the record; a company may be given by its name alone.
    fn traits(
        &self,
        key: &str,
        value: Given<'a>,
        scope: Scope,
        findings: &mut Findings,
    ) -> Option<Entries<'a>> {
        let by_name = match (self.kind, &value) {
            (RelatedKind::Company, Given::Text(_)) => true,
            (RelatedKind::Company, Given::Number(_)) => {
                self.rules.coercion == Coercion::Lossless && !is_zero(&value)
            }
            (RelatedKind::Company | RelatedKind::Deal, _) => false,
        };
        if by_name {
            let mut traits = Entries::default();
            traits.push("name", value);
            return Some(traits);
        }
        match value {
            Given::Null => None,
            Given::Object(traits) => Some(traits),
            wrong @ (Given::Bool(_) | Given::Number(_) | Given::Text(_) | Given::List(_)) => {
                let expected = match self.kind {
                    RelatedKind::Company => "an object, or a name as a string",
                    RelatedKind::Deal => "an object",
                };
                let problem = Problem {
                    trait_path: Some(bounded(key.to_owned())),
                    problem: "wrong kind of value".into(),
                    expected: Some(expected.into()),
                    got: Some(describe(&wrong)),
                    ..Problem::default()
                };
                self.leave_out(scope.at(0), problem, findings.omitted(), findings);
                None
            }
        }
    }

    fn fields_unknown(&self, gap: SchemaGap, key: &str, scope: Scope, findings: &mut Findings) {
        let entity = self.kind.entity();
        let word = entity.singular().replace('_', " ");
        let (reason, problem, expected) = match gap {
            SchemaGap::Forbidden => (
                DeadLetterReason::Rejected,
                format!("the API key has no right to read the fields of a {word}, so none can be written"),
                format!("an API key whose user may read the settings of {word} fields"),
            ),
            SchemaGap::Missing => (
                DeadLetterReason::Rejected,
                format!("the account has no fields of a {word}, so none can be written"),
                "an account with them".to_owned(),
            ),
            SchemaGap::NotYet => (
                DeadLetterReason::Undeliverable,
                format!("the fields of a {word} cannot be read yet"),
                "fields that can be read".to_owned(),
            ),
        };
        if gap != SchemaGap::NotYet && self.rules.invalid_value == InvalidValue::Omit {
            let field = entity.singular().to_owned();
            findings.omit(Omitted { entity, field, trait_path: key.to_owned(), why: problem });
            return;
        }
        let problem =
            Problem { trait_path: Some(key.into()), problem, expected: Some(expected), ..Problem::default() };
        findings.problem(scope.at(0), reason, problem);
    }

    /// The record cannot be written: as the rules say, the event is refused or goes without the record.
    fn leave_out(&self, at: At, problem: Problem, omitted_before: usize, findings: &mut Findings) {
        match self.rules.invalid_value {
            InvalidValue::DeadLetter => findings.problem(at, DeadLetterReason::InvalidField, problem),
            InvalidValue::Omit => {
                let entity = self.kind.entity();
                let omitted = Omitted {
                    entity,
                    field: entity.singular().to_owned(),
                    trait_path: problem.trait_path.unwrap_or_default(),
                    why: problem.problem,
                };
                findings.omit_whole(omitted_before, omitted);
            }
        }
    }
}
