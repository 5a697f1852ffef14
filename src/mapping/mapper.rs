//! One account's rules and fields, asked event by event. What else a [`Mapper`] is asked is in `event/user` and in
//! `account/`.

use std::mem::take;

use super::account::defaults::{BadDefault, fit};
use super::event::record::{RecordContext, record};
use super::event::related::{RelatedKind, RelatedRecord, SchemaGap};
use super::event::{activity, email};
use super::outcome::findings::Findings;
use super::outcome::position::{FIRST, LAST, Scope};
use super::{ContactWrite, FoundBy, Ignored, Mapped, Mapping, MappingRules, Recorded, SetField};
use crate::mapping::fields::field_index::FieldIndex;
use crate::mapping::traits::candidate::Candidates;
use crate::mapping::traits::special::{SpecialPositions, SpecialTrait};
use crate::schema::{Entity, PerEntity, Schema, Selectors};
use crate::segment::{Event, Given, Payload, Traits};

/// One account's mapping. It is built when the account's fields are read, and keeps of them only what look-ups need.
#[derive(Debug)]
pub struct Mapper {
    pub(super) rules: MappingRules,
    fields: PerEntity<FieldIndex>,
    gaps: Vec<(Entity, SchemaGap)>,
    bad_defaults: Vec<BadDefault>,
    selectors: Selectors,
}

impl Mapper {
    /// Prepares the look-ups for an account with these rules and these fields.
    pub fn new(mut rules: MappingRules, mut schema: Schema) -> Self {
        // Overrides and defaults move into the look-ups; kept in the rules as well, they would take memory twice.
        let (mut overrides, mut defaults) = (take(&mut rules.fields), take(&mut rules.defaults));
        let mut fields = PerEntity::each(|entity| {
            let known = take(&mut schema.of_mut(entity).fields);
            FieldIndex::new(entity, known, take(overrides.of_mut(entity)))
        });
        let unfit = |entity: &Entity| fit(fields.of_mut(*entity), take(defaults.of_mut(*entity)), &rules);
        let bad_defaults = Entity::ALL.iter().flat_map(unfit).collect();
        Self { rules, fields, gaps: Vec::new(), bad_defaults, selectors: Selectors::default() }
    }

    /// The same for an account where the fields of some entities could not be read.
    #[must_use]
    pub fn with_gaps(mut self, gaps: Vec<(Entity, SchemaGap)>) -> Self {
        // Every default of an entity without fields would look bad.
        self.bad_defaults.retain(|bad| gaps.iter().all(|(entity, _)| *entity != bad.entity));
        self.gaps = gaps;
        self
    }

    /// Replaces what is known of the account's selectors.
    pub fn set_selectors(&mut self, selectors: Selectors) {
        self.selectors = selectors;
    }

    /// The configured defaults that cannot be used with the account's fields.
    pub fn bad_defaults(&self) -> &[BadDefault] {
        &self.bad_defaults
    }

    /// The trait that sets the field of this internal name: the name in camelCase, or the name itself where the
    /// camelCase one reaches another field.
    pub fn trait_name(&self, entity: Entity, field: &str) -> Option<String> {
        let fields = self.fields(entity);
        fields.get(field).map(|target| fields.trait_name(target))
    }

    /// The trait that sets the field whose name is most like an ignored trait's, if one is alike. It compares the trait
    /// with every field, so call it only for messages that people read.
    pub fn nearest(&self, ignored: &Ignored) -> Option<String> {
        let key = ignored.trait_path.strip_prefix(trait_prefix(ignored.entity))?;
        self.fields(ignored.entity).nearest(key)
    }

    /// The traits that set the fields whose names are most like this trait's, as a sender must write them. As slow.
    pub fn alike(&self, trait_path: &str, most: usize) -> Vec<String> {
        let related = [Entity::SalesAccount, Entity::Deal];
        let entity = related.into_iter().find(|entity| trait_path.starts_with(trait_prefix(*entity)));
        let entity = entity.unwrap_or(Entity::Contact);
        let prefix = trait_prefix(entity);
        let alike = self.fields(entity).alike(trait_path.get(prefix.len()..).unwrap_or_default(), most);
        alike.into_iter().map(|name| format!("{prefix}{name}")).collect()
    }

    /// Maps one event. Its user has passed [`Mapper::check_user`].
    pub fn map(&self, event: &Event) -> Mapping {
        self.mapped(event, Findings::default()).0
    }

    /// The same, and which trait set which field.
    pub fn map_recording(&self, event: &Event) -> (Mapping, Recorded) {
        self.mapped(event, Findings::recording())
    }

    fn mapped(&self, event: &Event, mut findings: Findings) -> (Mapping, Recorded) {
        let verdict = match &event.payload {
            Payload::Identify { traits } => {
                Mapped::Contact(Box::new(self.identify(event.user_id.as_deref(), traits, &mut findings)))
            }
            Payload::Track { event: name, properties } => {
                Mapped::Track(activity::track(event, name, properties, &mut findings))
            }
            Payload::Page { name, category, url, properties } => {
                Mapped::Page(activity::page(event, name.as_deref(), category.as_deref(), url, properties))
            }
        };
        let (needs, recorded) = (take(&mut findings.needs), findings.take_recorded());
        let (refusal, ignored, omitted) = findings.finish();
        (Mapping { verdict: refusal.map_or(Ok(verdict), Err), ignored, omitted, needs }, recorded)
    }

    fn identify(&self, user_id: Option<&str>, traits: &Traits, findings: &mut Findings) -> ContactWrite {
        let mut traits = traits.read();
        let special = SpecialPositions::of(&traits);
        let named = special.position(SpecialTrait::Email).and_then(|position| traits.at(position));
        let email = email::identifying(named.map(|(_, value)| value), user_id)
            .map_err(|refusal| findings.refuse(FIRST, refusal))
            .unwrap_or_default();
        if let Some(email) = &email {
            findings.record_set(|| identifying(named, user_id, email));
        }
        let user_id = user_id.filter(|id| email.as_deref().is_none_or(|email| !is_lower_case(id, email)));
        let (company, deal) = (self.related(RelatedKind::Company), self.related(RelatedKind::Deal));
        let has_company = company.is_given(&traits, special);

        let context = RecordContext {
            scope: Scope::CONTACT,
            special,
            selectors: &self.selectors,
            email: email.as_deref(),
            external_id: user_id,
            linked: if has_company { &["emails", "sales_accounts"] } else { &["emails"] },
            end: LAST,
        };
        let mut candidates = Candidates::default();
        let record =
            record(&self.fields.contact, &self.rules, &mut traits, context, &mut candidates, findings);
        let company = company.write(&mut traits, special, &[], &mut candidates, findings);
        let linked: &[&str] = if has_company { &["contacts", "sales_account_id"] } else { &["contacts"] };
        let deal = deal.write(&mut traits, special, linked, &mut candidates, findings);
        let user_id = user_id.map(str::to_owned);
        ContactWrite { email, user_id, record, company, deal }
    }

    fn related(&self, kind: RelatedKind) -> RelatedRecord<'_> {
        let gap = self.gaps.iter().find(|(entity, _)| *entity == kind.entity()).map(|(_, gap)| *gap);
        RelatedRecord {
            kind,
            fields: self.fields(kind.entity()),
            rules: &self.rules,
            selectors: &self.selectors,
            gap,
        }
    }

    /// Whether nothing is known of the entity's fields.
    pub(super) fn lacks(&self, entity: Entity) -> bool {
        self.gaps.iter().any(|(lacking, _)| *lacking == entity)
    }

    pub(super) const fn fields(&self, entity: Entity) -> &FieldIndex {
        self.fields.of(entity)
    }
}

fn is_lower_case(text: &str, lower: &str) -> bool {
    if text.is_ascii() { text.eq_ignore_ascii_case(lower) } else { text.to_lowercase() == lower }
}

/// What gave the address that identifies the contact.
fn identifying(named: Option<(&str, &Given<'_>)>, user_id: Option<&str>, email: &str) -> SetField {
    let named = named.filter(|(_, value)| value.as_text().is_some_and(|text| !text.trim().is_empty()));
    let (trait_path, given) = match named {
        Some((key, value)) => (Scope::CONTACT.path(key), value.to_value()),
        None => ("userId".to_owned(), user_id.into()),
    };
    let field = "emails".to_owned();
    SetField { entity: Entity::Contact, trait_path, field, how: FoundBy::Name, given, sent: email.into() }
}

/// What stands before the names of an entity's traits.
pub const fn trait_prefix(entity: Entity) -> &'static str {
    match entity {
        Entity::Contact => "",
        Entity::SalesAccount => RelatedKind::Company.prefix(),
        Entity::Deal => RelatedKind::Deal.prefix(),
    }
}
