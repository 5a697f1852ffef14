//! The room's front: one account's rules and schema, asked event by event.

use std::mem::take;

use serde_json::{Value, json};

use super::defaults::{BadDefault, fit};
use super::findings::Findings;
use super::position::{At, FIRST, LAST, Scope, bounded};
use super::record::{Surroundings, record};
use super::{
    Coercion, ContactWrite, Ignored, InvalidValue, Mapped, Mapping, MappingRules, Omitted, RelatedWrite,
    activity, email,
};
use crate::mapping::fields::field_index::Names;
use crate::mapping::traits::absent::{Absent, absent, zero};
use crate::mapping::traits::special::{Consumed, Special};
use crate::outcome::{DeadLetterReason, Problem};
use crate::schema::{Entity, Schema, Selectors};
use crate::segment::{Event, JsonMap, Payload, describe};

/// Why nothing is known of an entity's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The account's key has no right to read them.
    Forbidden,
    /// Freshsales knows of none.
    Missing,
    /// They could not be read so far; until then no event is refused for it.
    NotYet,
}

/// One account's mapping. Look-ups are prepared once, when the schema is read; nothing else is kept of it.
#[derive(Debug)]
pub struct Mapper {
    pub(super) rules: MappingRules,
    contact: Names,
    sales_account: Names,
    deal: Names,
    unreadable: Vec<(Entity, Unreadable)>,
    bad_defaults: Vec<BadDefault>,
    selectors: Selectors,
}

impl Mapper {
    /// Prepares the mapping of an account with this configuration and these fields.
    pub fn new(mut rules: MappingRules, schema: Schema) -> Self {
        let Schema { contact, sales_account, deal } = schema;
        // The names keep the overrides; nothing else asks for them.
        let mut contact = Names::new(Entity::Contact, contact.fields, take(&mut rules.fields));
        let company_rules = take(&mut rules.company_fields);
        let mut sales_account = Names::new(Entity::SalesAccount, sales_account.fields, company_rules);
        let mut deal = Names::new(Entity::Deal, deal.fields, take(&mut rules.deal_fields));
        let mut bad_defaults = fit(&mut contact, take(&mut rules.defaults), &rules);
        bad_defaults.extend(fit(&mut sales_account, take(&mut rules.company_defaults), &rules));
        bad_defaults.extend(fit(&mut deal, take(&mut rules.deal_defaults), &rules));
        Self {
            rules,
            contact,
            sales_account,
            deal,
            unreadable: Vec::new(),
            bad_defaults,
            selectors: Selectors::default(),
        }
    }

    /// Defaults of the configuration that are of no use with the account's fields.
    pub fn bad_defaults(&self) -> &[BadDefault] {
        &self.bad_defaults
    }

    /// What a sender writes to reach the field of this internal name: that in camelCase, or as it is where another
    /// field would answer to it.
    pub fn trait_name(&self, entity: Entity, field: &str) -> Option<String> {
        let names = self.names(entity);
        names.get(field).map(|target| names.trait_name(target))
    }

    /// What becomes of one event, and the traits that reach no field.
    pub fn map(&self, event: &Event) -> Mapping {
        match &event.payload {
            Payload::Identify { traits } => self.identify(event.user_id.as_deref(), traits),
            Payload::Track { event: name, properties } => {
                let (activity, ignored) = activity::track(event, name, properties);
                Mapping {
                    verdict: Ok(Mapped::Track(activity)),
                    ignored,
                    omitted: Vec::new(),
                    needs: Vec::new(),
                }
            }
            Payload::Page { name, category, url, properties } => {
                let page = activity::page(event, name.as_deref(), category.as_deref(), url, properties);
                Mapping {
                    verdict: Ok(Mapped::Page(page)),
                    ignored: Vec::new(),
                    omitted: Vec::new(),
                    needs: Vec::new(),
                }
            }
        }
    }

    /// What a sender writes to reach the field whose name is most like an ignored trait's, if one is. Looking for it
    /// compares the trait with every field, so it is for whoever shows it to people.
    pub fn nearest(&self, ignored: &Ignored) -> Option<String> {
        let prefix = match ignored.entity {
            Entity::Contact => "",
            Entity::SalesAccount => "company.",
            Entity::Deal => "deal.",
        };
        let key = ignored.trait_path.strip_prefix(prefix)?;
        self.names(ignored.entity).nearest(key)
    }

    /// The same for an account whose sales accounts' or deals' fields could not be read.
    #[must_use]
    pub fn without(mut self, unreadable: Vec<(Entity, Unreadable)>) -> Self {
        self.bad_defaults.retain(|bad| unreadable.iter().all(|(entity, _)| *entity != bad.entity));
        self.unreadable = unreadable;
        self
    }

    /// Uses what is known of the account's selectors from now on.
    pub fn know(&mut self, selectors: Selectors) {
        self.selectors = selectors;
    }

    fn names(&self, entity: Entity) -> &Names {
        match entity {
            Entity::Contact => &self.contact,
            Entity::SalesAccount => &self.sales_account,
            Entity::Deal => &self.deal,
        }
    }

    fn identify(&self, user_id: Option<&str>, traits: &JsonMap) -> Mapping {
        let mut findings = Findings::default();
        let email = email::identifying(traits, user_id)
            .map_err(|refusal| findings.refuse(FIRST, refusal))
            .unwrap_or_default();
        let user_id = user_id.filter(|id| Some(id.to_lowercase()) != email);
        let consumed = Consumed::of(traits);
        let company = Special::Company.value(traits);
        let has_company = company.is_some_and(|company| self.absent(Entity::SalesAccount, company).is_none());

        let around = Surroundings {
            scope: Scope { prefix: "", position: None },
            consumed,
            selectors: &self.selectors,
            email: email.as_deref(),
            external_id: user_id,
            linked: if has_company { &["emails", "sales_accounts"] } else { &["emails"] },
            end: LAST,
        };
        let record = record(&self.contact, &self.rules, traits.clone(), around, &mut findings);
        let company = self.related(Entity::SalesAccount, Special::Company, traits, &[], &mut findings);
        let linked: &[&str] = if has_company { &["contacts", "sales_account_id"] } else { &["contacts"] };
        let deal = self.related(Entity::Deal, Special::Deal, traits, linked, &mut findings);

        let needs = take(&mut findings.needs);
        let (refusal, ignored, omitted) = findings.finish();
        let user_id = user_id.map(str::to_owned);
        let verdict = match refusal {
            None => Ok(Mapped::Contact(Box::new(ContactWrite { email, user_id, record, company, deal }))),
            Some(refusal) => Err(refusal),
        };
        Mapping { verdict, ignored, omitted, needs }
    }

    /// Why a company or deal that came along is none.
    fn absent(&self, entity: Entity, value: &Value) -> Option<Absent> {
        let reads_id =
            self.names(entity).overrides.iter().any(|rule| rule.path.split('.').next() == Some("id"));
        absent(value, reads_id)
    }

    /// The company or the deal that came along, if one did and nothing is wrong with it.
    fn related(
        &self,
        entity: Entity,
        special: Special,
        traits: &JsonMap,
        linked: &[&'static str],
        findings: &mut Findings,
    ) -> Option<RelatedWrite> {
        let position = special.position(traits)?;
        let (key, value) = traits.iter().nth(position)?;
        let (prefix, by_name) = match entity {
            Entity::Contact => return None,
            Entity::SalesAccount => ("company.", true),
            Entity::Deal => ("deal.", false),
        };
        let scope = Scope { prefix, position: Some(position) };
        if let Some(absent) = self.absent(entity, value) {
            findings.ignore(entity, bounded(key.clone()), absent.why());
            return None;
        }
        let traits = match value {
            Value::Null => return None,
            Value::Object(traits) => traits.clone(),
            name @ Value::String(_) if by_name => named(name),
            name @ Value::Number(_)
                if by_name && self.rules.coercion == Coercion::Lossless && !zero(name) =>
            {
                named(name)
            }
            wrong @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                let expected = if by_name { "an object, or a name as a string" } else { "an object" };
                let problem = Problem {
                    trait_path: Some(bounded(key.clone())),
                    problem: "wrong kind of value".into(),
                    expected: Some(expected.into()),
                    got: Some(describe(wrong)),
                    ..Problem::default()
                };
                self.unwritable(entity, scope.at(0), problem, findings.omitted(), findings);
                return None;
            }
        };
        if let Some((_, why)) = self.unreadable.iter().find(|(unreadable, _)| *unreadable == entity) {
            self.unread(entity, *why, key, scope, findings);
            return None;
        }
        let before = findings.omitted();
        let end = scope.at(usize::MAX);
        let around = Surroundings {
            scope,
            consumed: Consumed::default(),
            selectors: &self.selectors,
            email: None,
            external_id: None,
            linked,
            end,
        };
        let mut record = record(self.names(entity), &self.rules, traits, around, findings);
        let name = record.fields.get("name").and_then(Value::as_str).map(|name| name.trim().to_owned());
        if name.is_none() && self.rules.invalid_value == InvalidValue::DeadLetter {
            // It was refused or missing, which has been said.
            return None;
        }
        let blank = name.is_some();
        let name = name.unwrap_or_default();
        if name.is_empty() {
            let problem = Problem {
                field: Some("name".into()),
                trait_path: Some(scope.path("name")),
                problem: if blank { "the name is blank" } else { "there is no name that fits" }.into(),
                expected: Some("a string that is not blank".into()),
                ..Problem::default()
            };
            self.unwritable(entity, end, problem, before, findings);
            return None;
        }
        record.fields.insert("name".into(), name.as_str().into());
        Some(RelatedWrite { name, record })
    }

    /// A company or deal of whose fields nothing is known.
    fn unread(&self, entity: Entity, why: Unreadable, key: &str, scope: Scope, findings: &mut Findings) {
        let word = entity.singular().replace('_', " ");
        let (reason, problem, expected) = match why {
            Unreadable::Forbidden => (
                DeadLetterReason::Rejected,
                format!("the API key has no right to read the fields of a {word}, so none can be written"),
                format!("an API key whose user may read the settings of {word} fields"),
            ),
            Unreadable::Missing => (
                DeadLetterReason::Rejected,
                format!("the account has no fields of a {word}, so none can be written"),
                "an account with them".to_owned(),
            ),
            Unreadable::NotYet => (
                DeadLetterReason::Undeliverable,
                format!("the fields of a {word} cannot be read yet"),
                "fields that can be read".to_owned(),
            ),
        };
        if why != Unreadable::NotYet && self.rules.invalid_value == InvalidValue::Omit {
            let field = entity.singular().to_owned();
            findings.omit(Omitted { entity, field, trait_path: key.to_owned(), why: problem });
            return;
        }
        let problem =
            Problem { trait_path: Some(key.into()), problem, expected: Some(expected), ..Problem::default() };
        findings.flaw(scope.at(0), reason, problem);
    }

    /// A company or deal that cannot be written: the event is refused, or goes without it, as the rules say.
    fn unwritable(
        &self,
        entity: Entity,
        at: At,
        problem: Problem,
        omitted_before: usize,
        findings: &mut Findings,
    ) {
        match self.rules.invalid_value {
            InvalidValue::DeadLetter => findings.flaw(at, DeadLetterReason::InvalidField, problem),
            InvalidValue::Omit => {
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

fn named(name: &Value) -> JsonMap {
    JsonMap::from_iter([("name".to_owned(), json!(name))])
}
