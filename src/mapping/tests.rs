//! The rules of mapping, tested with a small invented account.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::outcome::{DeadLetterReason, Refusal};
use crate::schema::{Entity, Field, Fields, PerEntity, Schema, Selector};
use crate::segment::{self, JsonMap};

mod cost;
mod documented;
mod fuzz;
mod identities;
mod names;
mod nulls;
mod omitted;
mod properties;
mod records;
mod selected;
mod shapes;
mod values;

/// A mapping with what it recorded, and with values in place of texts.
#[derive(Debug)]
struct Mapping {
    verdict: Result<Mapped, Refusal>,
    ignored: Vec<Ignored>,
    omitted: Vec<Omitted>,
    needs: Vec<Selector>,
}

#[derive(Debug, PartialEq)]
enum Mapped {
    Contact(Box<ContactWrite>),
    Track(Activity),
    Page(PageView),
}

#[derive(Debug, PartialEq, Serialize)]
struct ContactWrite {
    email: Option<String>,
    user_id: Option<String>,
    record: Record,
    company: Option<RelatedWrite>,
    deal: Option<RelatedWrite>,
}

#[derive(Debug, PartialEq, Serialize)]
struct RelatedWrite {
    name: String,
    record: Record,
}

#[derive(Debug, PartialEq, Serialize)]
struct Record {
    fields: JsonMap,
    custom_field: JsonMap,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lacking: Vec<Lacking>,
}

impl From<super::Record> for Record {
    fn from(record: super::Record) -> Self {
        let super::Record { fields, custom_field, lacking } = record;
        Self { fields: fields.values(), custom_field: custom_field.values(), lacking }
    }
}

impl From<super::RelatedWrite> for RelatedWrite {
    fn from(write: super::RelatedWrite) -> Self {
        Self { name: write.name, record: write.record.into() }
    }
}

impl From<super::Mapped> for Mapped {
    fn from(mapped: super::Mapped) -> Self {
        match mapped {
            super::Mapped::Contact(write) => {
                let super::ContactWrite { email, user_id, record, company, deal } = *write;
                let (record, company, deal) = (record.into(), company.map(Into::into), deal.map(Into::into));
                Self::Contact(Box::new(ContactWrite { email, user_id, record, company, deal }))
            }
            super::Mapped::Track(activity) => Self::Track(activity),
            super::Mapped::Page(page) => Self::Page(page),
        }
    }
}

/// Maps an event as `explain` does, and asserts that a lane makes the same of it.
fn map_event(mapper: &Mapper, event: &segment::Event) -> Mapping {
    let (mapping, recorded) = mapper.map_recording(event);
    assert_eq!(mapper.map(event), mapping);
    assert_eq!(mapping.ignored, recorded.ignored.len());
    let super::Mapping { verdict, omitted, needs, .. } = mapping;
    Mapping { verdict: verdict.map(Into::into), ignored: recorded.ignored, omitted, needs }
}

/// A field as the settings endpoint describes it.
fn field(name: &str, kind: &str, more: &Value) -> Field {
    let mut field = json!({"name": name, "type": kind, "label": name, "default": !name.starts_with("cf_")});
    for (key, value) in more.as_object().unwrap() {
        field[key] = value.clone();
    }
    serde_json::from_value(field).unwrap()
}

fn plain(name: &str, kind: &str) -> Field {
    field(name, kind, &json!({}))
}

fn choices(list: &[(&str, &str)]) -> Value {
    let list: Vec<Value> = list.iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
    json!({"choices": list})
}

/// One field of every type, as default and as custom fields, and the records linked to the contact.
fn schema() -> Schema {
    let plans = choices(&[
        ("901", "Basic"),
        ("902", "Plus"),
        ("903", "basic plus"),
        ("904", "Basic Plus"),
        ("905", "7"),
        ("906", "a;b"),
    ]);
    let contact = vec![
        plain("first_name", "text"),
        plain("last_name", "text"),
        plain("sales_accounts", "group_field"),
        plain("emails", "group_field"),
        plain("phone_numbers", "group_field"),
        plain("mobile_number", "text"),
        plain("work_number", "text"),
        plain("external_id", "text"),
        plain("job_title", "text"),
        plain("address", "text"),
        plain("city", "text"),
        plain("state", "text"),
        plain("zipcode", "text"),
        plain("country", "text"),
        plain("total_sessions", "number"),
        plain("last_seen_chat", "date"),
        plain("created_at", "date"),
        plain("territory_id", "dropdown"),
        field(
            "lifecycle_stage_id",
            "dropdown",
            &choices(&[("11", "Lead"), ("12", "Customer"), ("13", "customer"), ("14", "12")]),
        ),
        field(
            "time_zone",
            "dropdown",
            &choices(&[("Lisbon", "(GMT) Lisbon"), ("Quito", "(GMT-05:00) Quito")]),
        ),
        field(
            "subscription_types",
            "multi_select_dropdown",
            &choices(&[("2", "News"), ("3", "Offers"), ("4", "x;y")]),
        ),
        field("tags", "auto_complete", &json!({"multiple": true})),
        field("lists", "auto_complete", &json!({"multiple": true})),
        plain("owner_ref", "auto_complete"),
        plain("strange", "hologram"),
        plain("cf_alternate_number", "text"),
        plain("cf_notes", "textarea"),
        plain("cf_score", "number"),
        plain("cf_active", "checkbox"),
        plain("cf_born", "date"),
        plain("cf_meeting", "date_time_split"),
        field("cf_plan", "dropdown", &plans),
        field("cf_size", "radio", &choices(&[("1", "S"), ("2", "M")])),
        plain("cf_free_choice", "dropdown"),
        field(
            "cf_hobbies",
            "multi_select_dropdown",
            &choices(&[("21", "Chess"), ("22", "Go"), ("23", "Rock; Roll")]),
        ),
    ];
    let sales_account = vec![
        field("name", "text", &json!({"required": true})),
        plain("website", "text"),
        plain("phone", "text"),
        field("number_of_employees", "dropdown", &choices(&[("1", "1-10"), ("11", "11-50")])),
        plain("address", "text"),
        plain("city", "text"),
        plain("zipcode", "text"),
        plain("cf_region", "text"),
    ];
    let deal = vec![
        field("name", "text", &json!({"required": true})),
        field("amount", "number", &json!({"required": true})),
        plain("sales_account_id", "auto_complete"),
        field("contacts", "auto_complete", &json!({"multiple": true})),
        plain("expected_close", "date"),
        plain("address", "text"),
    ];
    Schema {
        contact: Fields { fields: contact },
        sales_account: Fields { fields: sales_account },
        deal: Fields { fields: deal },
    }
}

fn strict() -> MappingRules {
    MappingRules { coercion: Coercion::Strict, ..MappingRules::default() }
}

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(path, field)| ((*path).to_owned(), (*field).to_owned())).collect()
}

/// What is for contacts alone.
fn of_contacts<T: Default>(contact: T) -> PerEntity<T> {
    PerEntity { contact, ..PerEntity::default() }
}

fn map_body(mapper: &Mapper, body: &Value) -> Mapping {
    map_event(mapper, &segment::decode(&body.to_string().into()).unwrap())
}

/// Maps an identify of user `u-1`; adds an e-mail address if the traits have none.
fn identify_with(rules: MappingRules, traits: &Value) -> Mapping {
    let mut traits = traits.clone();
    if traits.get("email").is_none() {
        traits["email"] = json!("ada@example.com");
    }
    map_body(&Mapper::new(rules, schema()), &json!({"type": "identify", "userId": "u-1", "traits": traits}))
}

fn identify(traits: &Value) -> Mapping {
    identify_with(MappingRules::default(), traits)
}

fn contact(mapping: Mapping) -> ContactWrite {
    match mapping.verdict {
        Ok(Mapped::Contact(contact)) => *contact,
        other => panic!("expected a contact, got {other:?}"),
    }
}

fn refusal(mapping: Mapping) -> Refusal {
    mapping.verdict.expect_err("expected a refusal")
}

/// Why the trait of this path was ignored.
fn why(mapping: &Mapping, path: &str) -> Option<&'static str> {
    mapping.ignored.iter().find(|ignored| ignored.trait_path == path).map(|ignored| ignored.why)
}

/// Any mapping rules, with overrides of these names to these fields.
fn any_rules<N, F>(names: impl Fn() -> N, fields: impl Fn() -> F) -> impl Strategy<Value = MappingRules>
where
    N: Strategy<Value = String>,
    F: Strategy<Value = String>,
{
    let pairs = || prop::collection::btree_map(names(), fields(), 0..3);
    (pairs(), pairs(), pairs(), any::<[bool; 4]>()).prop_map(
        |(contact, sales_account, deal, [strict, ignore, omit, clear])| MappingRules {
            fields: PerEntity { contact, sales_account, deal },
            defaults: PerEntity {
                contact: BTreeMap::from([
                    ("firstName".to_owned(), json!("Ada")),
                    ("cf_gone".to_owned(), json!(1)),
                ]),
                sales_account: BTreeMap::new(),
                deal: BTreeMap::from([("amount".to_owned(), json!("1"))]),
            },
            unknown_custom_field: if ignore {
                UnknownCustomField::Ignore
            } else {
                UnknownCustomField::DeadLetter
            },
            coercion: if strict { Coercion::Strict } else { Coercion::Lossless },
            invalid_value: if omit { InvalidValue::Omit } else { InvalidValue::DeadLetter },
            null_traits: if clear { NullTraits::Clear } else { NullTraits::Ignore },
            anonymous_identify: AnonymousIdentify::DeadLetter,
        },
    )
}
