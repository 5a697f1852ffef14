//! What the configuration says about fields, against those that the account has.

use crate::check::account::tried::{FieldsTried, Tried};
use crate::check::finding::CheckFindings;
use crate::check::words::{AGAIN, listed};
use crate::config::AccountConfig;
use crate::mapping::{Mapper, SchemaGap, defaults_table, trait_prefix};
use crate::schema::Entity;

/// What the configuration says about fields that were read.
pub(super) fn rules(account: &AccountConfig, fields: &FieldsTried, findings: &mut CheckFindings) {
    let unread = |entity: &&Entity| !matches!(fields.counts.of(**entity), Tried::Works(_));
    let gaps: Vec<_> = Entity::ALL.iter().filter(unread).map(|entity| (*entity, SchemaGap::NotYet)).collect();
    if gaps.len() == Entity::ALL.len() {
        findings.skip("fields", "what the configuration says about fields: none could be read", AGAIN);
        return;
    }
    let is_read = |entity: Entity| gaps.iter().all(|(other, _)| *other != entity);
    let mapper = Mapper::new(account.mapping.clone(), fields.schema.clone()).with_gaps(gaps.clone());
    required(&mapper, is_read, findings);
    overrides(&mapper, is_read, findings);
    defaults(&mapper, findings);
    if !fields.left_out.is_empty() {
        let odd: Vec<String> =
            fields.left_out.iter().map(|left| format!("{} ({})", left.name, left.why)).collect();
        findings.warn(
            "fields",
            format!("left out, because their metadata is odd: {}", listed(&odd)),
            "their traits are ignored; look at these fields in Admin settings",
        );
    }
}

fn required(mapper: &Mapper, is_read: impl Fn(Entity) -> bool, findings: &mut CheckFindings) {
    const CHECK: &str = "required_fields";
    for entity in Entity::ALL.iter().filter(|entity| is_read(**entity)) {
        let traits = mapper.required_without_default(*entity);
        if !traits.is_empty() {
            let prefix = trait_prefix(*entity);
            let traits: Vec<String> = traits.iter().map(|name| format!("{prefix}{name}")).collect();
            findings.warn(
                CHECK,
                format!("new {} need these traits: {}", entity.plural().replace('_', " "), listed(&traits)),
                format!(
                    "send them in every event, or set [{}]: without, new records are refused",
                    defaults_table(*entity)
                ),
            );
        }
    }
    let unread = Entity::ALL.iter().filter(|entity| !is_read(**entity));
    let unread: Vec<String> = unread.map(|entity| entity.plural().replace('_', " ")).collect();
    if !unread.is_empty() {
        findings.skip(CHECK, format!("those of {}: the fields were not read", listed(&unread)), AGAIN);
    } else if findings.nothing_for(CHECK) {
        findings.ok(CHECK, "none without a default");
    }
}

fn overrides(mapper: &Mapper, is_read: impl Fn(Entity) -> bool, findings: &mut CheckFindings) {
    const CHECK: &str = "overrides";
    for dead in mapper.dead_overrides().into_iter().filter(|dead| is_read(dead.entity)) {
        let table = match dead.entity {
            Entity::Contact => "accounts.fields",
            Entity::SalesAccount => "accounts.company_fields",
            Entity::Deal => "accounts.deal_fields",
        };
        let remedy = match &dead.nearest {
            Some(nearest) => format!("did you mean `{nearest}`? Correct or delete it in [{table}]"),
            None => format!("correct or delete it in [{table}]"),
        };
        findings.fail(CHECK, format!("\"{}\" = \"{}\": {}", dead.path, dead.field, dead.why), remedy);
    }
    if findings.nothing_for(CHECK) {
        findings.ok(CHECK, "each leads to a field");
    }
}

fn defaults(mapper: &Mapper, findings: &mut CheckFindings) {
    const CHECK: &str = "defaults";
    for bad in mapper.bad_defaults() {
        findings.fail(
            CHECK,
            format!("the default of {} `{}`: {}", bad.entity.singular().replace('_', " "), bad.key, bad.why),
            "correct or delete it: it is not used as it is",
        );
    }
    if findings.nothing_for(CHECK) {
        findings.ok(CHECK, "each fits its field");
    }
}
