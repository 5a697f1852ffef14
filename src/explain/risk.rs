//! What may still keep an event from being delivered, depending on what Freshsales holds: a required field that a new record
//! lacks, a `userId` that nobody has.

use serde::{Serialize, Serializer};

use super::foresight::Foreseen;
use crate::mapping::{Lacking, Mapped, Record, defaults_table};
use crate::outcome::DeadLetterReason;
use crate::schema::Entity;

/// A condition under which an event that is sent becomes a dead letter all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Risk {
    /// What it becomes then.
    #[serde(serialize_with = "word")]
    pub reason: DeadLetterReason,
    /// When, in words.
    #[serde(rename = "if")]
    pub condition: &'static str,
    /// Required fields that a new record would lack.
    pub fields: Vec<String>,
    /// The traits that set them.
    pub traits: Vec<String>,
    /// The record's.
    #[serde(skip)]
    pub entity: Option<Entity>,
}

impl Risk {
    /// All that can be known of an event that is sent.
    pub(super) fn of(mapped: &Mapped, foreseen: &Foreseen) -> Vec<Self> {
        let mut risks = Vec::new();
        if foreseen.refusals.contains(&DeadLetterReason::MissingEmail) {
            risks.push(Self {
                reason: DeadLetterReason::MissingEmail,
                condition: "no contact has this userId",
                fields: Vec::new(),
                traits: vec!["email".to_owned()],
                entity: None,
            });
        }
        for (entity, record) in records(mapped) {
            let lacking: Vec<&Lacking> =
                record.lacking.iter().filter(|lacking| lacking.default.is_none()).collect();
            if !lacking.is_empty() {
                risks.push(Self {
                    reason: DeadLetterReason::Rejected,
                    condition: created(entity),
                    fields: lacking.iter().map(|lacking| lacking.field.clone()).collect(),
                    traits: lacking.iter().map(|lacking| lacking.trait_path.clone()).collect(),
                    entity: Some(entity),
                });
            }
        }
        risks
    }

    /// What decides, in one sentence.
    pub fn sentence(&self) -> String {
        let reason = self.reason;
        let (Some(entity), Some((last, before))) = (self.entity, self.fields.split_last()) else {
            return format!("would be delivered if a contact has this userId, else a dead letter: {reason}");
        };
        let record = entity.singular().replace('_', " ");
        let fields = match before {
            [] => format!("the field {last} is"),
            before => format!("the fields {} and {last} are", before.join(", ")),
        };
        format!(
            "would be delivered if the {record} exists, {reason} if it has to be created: {fields} required"
        )
    }

    /// What to do.
    pub fn remedy(&self) -> String {
        let Some(entity) = self.entity else { return super::remedy(self.reason).to_owned() };
        let table = defaults_table(entity);
        format!("send {}, or set a default in [{table}]", self.traits.join(" and "))
    }
}

/// Required fields that the event does not give and the account's defaults do.
pub(super) fn filled(mapped: &Mapped) -> Vec<Lacking> {
    let all = records(mapped).into_iter().flat_map(|(_, record)| &record.lacking);
    all.filter(|lacking| lacking.default.is_some()).cloned().collect()
}

fn records(mapped: &Mapped) -> Vec<(Entity, &Record)> {
    let Mapped::Contact(contact) = mapped else { return Vec::new() };
    let company = contact.company.as_ref().map(|company| (Entity::SalesAccount, &company.record));
    let deal = contact.deal.as_ref().map(|deal| (Entity::Deal, &deal.record));
    [Some((Entity::Contact, &contact.record)), company, deal].into_iter().flatten().collect()
}

const fn created(entity: Entity) -> &'static str {
    match entity {
        Entity::Contact => "the contact has to be created",
        Entity::SalesAccount => "the sales account has to be created",
        Entity::Deal => "the deal has to be created",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn word<S: Serializer>(reason: &DeadLetterReason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.as_str())
}
