//! In which ways Freshsales may answer a call, as far as it matters for the calls after it. Outages do not: the same call
//! is sent again then.

use serde_json::{Value, json};

use super::placeholders::{FOUND_ADDRESS, Placeholders};
use crate::freshsales::{Call, Endpoint, Verdict};
use crate::schema::Entity;

/// One way to answer a call.
#[derive(Debug, Clone)]
pub(super) struct ModelledAnswer {
    pub(super) verdict: Verdict,
    /// What it says, each as question, number of answers to it, and answer.
    pub(super) says: Vec<Said>,
    pub(super) is_refusal: bool,
}

/// One fact that an answer shows.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) question: String,
    pub(super) answers: usize,
    pub(super) text: String,
    /// The answer stays the same if it is asked again.
    pub(super) stays: bool,
    /// The question whose answer it includes.
    pub(super) implies: Option<String>,
}

/// What the event holds, which decides what is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct EventParts {
    pub(super) has_company: bool,
    /// The deal's name, if the event has one.
    pub(super) deal: Option<String>,
    /// Tags that are added to those that a record has.
    pub(super) added_tags: Vec<(Entity, Value)>,
}

/// A part of an answer's record in its variants, each with what it says.
type Variants = Vec<(Vec<(&'static str, Value)>, Vec<Said>)>;

pub(super) fn answers(call: &Call, parts: &EventParts, ids: Placeholders) -> Vec<ModelledAnswer> {
    match call.endpoint {
        Endpoint::Lookup => looked_up(call, ids),
        Endpoint::Upsert(Entity::Contact) => {
            let record = [("id", json!(ids.contact()))];
            written(Entity::Contact, &record, contact_variants(call, parts, ids))
        }
        Endpoint::ContactUpdate => {
            let record = [("id", json!(id_in(&call.path)))];
            written(Entity::Contact, &record, contact_variants(call, parts, ids))
        }
        Endpoint::ContactRead => {
            let email = json!({"id": ids.email(), "value": FOUND_ADDRESS, "is_primary": true});
            let record = [("id", json!(id_in(&call.path))), ("emails", json!([email]))];
            read(Entity::Contact, &record, contact_variants(call, parts, ids))
        }
        Endpoint::Upsert(Entity::SalesAccount) => {
            let record = [("id", json!(ids.sales_account()))];
            written(Entity::SalesAccount, &record, tags(Entity::SalesAccount, parts))
        }
        Endpoint::SalesAccountUpdate => {
            let record = [("id", json!(id_in(&call.path)))];
            written(Entity::SalesAccount, &record, tags(Entity::SalesAccount, parts))
        }
        Endpoint::SalesAccountRead => {
            let record = [("id", json!(id_in(&call.path)))];
            read(Entity::SalesAccount, &record, tags(Entity::SalesAccount, parts))
        }
        Endpoint::Upsert(Entity::Deal) | Endpoint::DealCreate => {
            written(Entity::Deal, &[("id", json!(ids.deal()))], tags(Entity::Deal, parts))
        }
        Endpoint::DealUpdate => {
            written(Entity::Deal, &[("id", json!(id_in(&call.path)))], tags(Entity::Deal, parts))
        }
        Endpoint::DealRead => {
            let record = [("id", json!(id_in(&call.path))), ("custom_field", json!({}))];
            read(Entity::Deal, &record, tags(Entity::Deal, parts))
        }
        Endpoint::TrackEvent | Endpoint::TrackPageView => {
            let refusal = refusal("Freshsales refuses the activity");
            vec![done(json!({}), Vec::new()), refusal]
        }
        // Not sent for one event.
        Endpoint::Fields(_)
        | Endpoint::Selector(_)
        | Endpoint::BulkUpsert(_)
        | Endpoint::JobStatus
        | Endpoint::Search(_) => vec![done(Value::Null, Vec::new())],
    }
}

fn looked_up(call: &Call, ids: Placeholders) -> Vec<ModelledAnswer> {
    let asked = |name: &str| {
        let pair = call.query.iter().find(|(key, _)| *key == name);
        pair.map(|(_, value)| &**value).unwrap_or_default()
    };
    let (key, field) = (asked("q"), asked("f"));
    let rows = |rows: Value| json!({"contacts": {"contacts": rows}});
    let said = |question: &str, text: &str| Said {
        question: format!("{question} {field} {key}"),
        answers: 2,
        text: text.to_owned(),
        stays: false,
        implies: None,
    };
    if field == "email" {
        let row = json!([{"id": ids.other_contact(), "email": key}]);
        return vec![
            done(rows(json!([])), vec![said("found", "no other contact has the address")]),
            done(rows(row), vec![said("found", "another contact has the address")]),
        ];
    }
    let found = || said("found", "a contact has the userId as its external_id");
    let address = |text: &str| Said { implies: Some(found().question), ..said("address", text) };
    let row =
        |address: Value| rows(json!([{"id": ids.other_contact(), "external_id": key, "email": address}]));
    vec![
        done(rows(json!([])), vec![said("found", "no contact has the userId as its external_id")]),
        done(
            row(json!(FOUND_ADDRESS)),
            vec![found(), address("the contact with the userId has another e-mail address")],
        ),
        done(row(Value::Null), vec![found(), address("the contact with the userId has no e-mail address")]),
    ]
}

/// What an answer may show of a contact: whether it is linked, which deals it has, its tags.
fn contact_variants(call: &Call, parts: &EventParts, ids: Placeholders) -> Variants {
    let mut variants = tags(Entity::Contact, parts);
    let includes = call.query.iter().find(|(key, _)| *key == "include").map(|(_, what)| &**what);
    let includes = includes.unwrap_or_default();
    if includes.contains("sales_accounts") && parts.has_company {
        let link = json!([{"id": ids.sales_account(), "is_primary": true}]);
        variants = each(
            variants,
            "linked",
            &[
                ("sales_accounts", json!([]), "the contact is not linked to the sales account yet"),
                ("sales_accounts", link, "the contact is linked to the sales account already"),
            ],
        );
    }
    if let Some(name) = parts.deal.as_ref().filter(|_| includes.contains("deals")) {
        let deal = json!([{"id": ids.deal(), "name": name}]);
        variants = each(
            variants,
            "deal",
            &[
                ("deals", json!([]), "the contact has no deal of this name"),
                ("deals", deal, "the contact has a deal of this name"),
            ],
        );
    }
    variants
}

/// What an answer may show of a record's tags.
fn tags(entity: Entity, parts: &EventParts) -> Variants {
    let plain = vec![(Vec::new(), Vec::new())];
    let Some((_, tags)) = parts.added_tags.iter().find(|(of, _)| *of == entity) else { return plain };
    let (lacks, has) = match entity {
        Entity::Contact => ("the contact lacks some of the tags", "the contact has the tags already"),
        Entity::SalesAccount => {
            ("the sales account lacks some of the tags", "the sales account has the tags already")
        }
        Entity::Deal => ("the deal lacks some of the tags", "the deal has the tags already"),
    };
    each(plain, lacks, &[("tags", json!([]), lacks), ("tags", tags.clone(), has)])
}

fn each(variants: Variants, question: &str, values: &[(&'static str, Value, &str); 2]) -> Variants {
    let with = |(members, says): (Vec<(&'static str, Value)>, Vec<Said>)| {
        values.clone().map(|(key, value, text)| {
            let said = Said {
                question: question.to_owned(),
                answers: 2,
                text: text.to_owned(),
                stays: true,
                implies: None,
            };
            let members = members.iter().cloned().chain([(key, value)]).collect();
            (members, says.iter().cloned().chain([said]).collect())
        })
    };
    variants.into_iter().flat_map(with).collect()
}

fn read(entity: Entity, record: &[(&'static str, Value)], variants: Variants) -> Vec<ModelledAnswer> {
    let shown = |(members, says): (Vec<(&'static str, Value)>, Vec<Said>)| {
        let members = record.iter().cloned().chain(members);
        let record: serde_json::Map<_, _> = members.map(|(key, value)| (key.to_owned(), value)).collect();
        done(json!({entity.singular(): record}), says)
    };
    variants.into_iter().map(shown).collect()
}

fn written(entity: Entity, record: &[(&'static str, Value)], variants: Variants) -> Vec<ModelledAnswer> {
    let mut answers = read(entity, record, variants);
    answers.push(refusal(match entity {
        Entity::Contact => "Freshsales refuses the contact",
        Entity::SalesAccount => "Freshsales refuses the sales account",
        Entity::Deal => "Freshsales refuses the deal",
    }));
    answers
}

fn done(body: Value, says: Vec<Said>) -> ModelledAnswer {
    ModelledAnswer { verdict: Verdict::Done(body), says, is_refusal: false }
}

fn refusal(text: &str) -> ModelledAnswer {
    // Accepting says nothing, so that what follows it is what is usual.
    let said = Said {
        question: text.to_owned(),
        answers: usize::MAX,
        text: text.to_owned(),
        stays: false,
        implies: None,
    };
    let verdict = Verdict::Refused { status: 400, messages: vec![text.to_owned()] };
    ModelledAnswer { verdict, says: vec![said], is_refusal: true }
}

/// The id at the end of a path.
fn id_in(path: &str) -> i64 {
    path.rsplit('/').next().and_then(|id| id.parse().ok()).unwrap_or_default()
}
