//! `tags = "append"`: the tags that a record has stay. Freshsales replaces all tags by those of a write. So a record is
//! first written without tags, and if the answer shows that some are missing, all are written: the record's and the
//! event's. Tags are compared letter by letter. Known tags are cached, so a tag that repeats costs no call.

use serde_json::Value;

use super::contact_work::{ContactWork, DealId};
use super::held::RecordText;
use super::step::{Step, Tagging};
use crate::freshsales::{Call, record_id, tags_of};
use crate::lane::contact::cache::records::RecordCache;
use crate::mapping::Omitted;
use crate::schema::Entity;

/// Whether the record is known to have all tags that the event adds.
pub(in crate::lane) fn are_known(
    record: &RecordText,
    entity: Entity,
    id: Option<i64>,
    records: &mut RecordCache,
) -> bool {
    record.added_tags.is_empty()
        || id.is_some_and(|id| records.has_tags(entity, id, record.tags().iter().map(String::as_str)))
}

/// The record's tags, followed by the added ones that it lacks.
fn united(mut there: Vec<String>, added: &[String]) -> Vec<String> {
    for tag in added {
        if !there.contains(tag) {
            there.push(tag.clone());
        }
    }
    there
}

impl Tagging {
    pub(in crate::lane) fn call(&self) -> Call {
        let tags = serde_json::to_string(&self.tags).unwrap_or_default();
        Call::update(self.entity, self.id, &format!("{{\"tags\":{tags}}}"))
    }

    pub(in crate::lane) fn read(&self) -> Call {
        Call::read(self.entity, self.id)
    }
}

/// What comes after a step that wrote a record: `then`, or first its tags.
pub(in crate::lane) fn then_tags(
    work: &ContactWork,
    body: &Value,
    then: Option<Step>,
    records: &mut RecordCache,
) -> Option<Step> {
    let Some((entity, record)) = work.given_record() else { return then };
    let shown = tags_of(body, entity.singular());
    let id = record_id(body, entity.singular());
    if let Some((id, shown)) = id.zip(shown.as_ref()) {
        records.learn_tags(entity, id, shown);
    } else if let Some(id) = id.filter(|_| record.field("tags").is_some()) {
        records.forget_tags(entity, id);
    }
    if let Some(id) = id.filter(|_| entity == Entity::Deal && work.known.deal == DealId::New) {
        records.learn_tags(entity, id, &record.tags());
        return then;
    }
    let Some(id) = id.filter(|_| !are_known(record, entity, id, records)) else { return then };
    let then = then.map(Box::new);
    Some(match shown {
        Some(there) => Step::Tags(Tagging { entity, id, tags: united(there, &record.tags()), then }),
        None => Step::ReadTags(Tagging { entity, id, tags: record.tags(), then }),
    })
}

/// How the tags that an answer shows compare with those that the event adds.
pub(in crate::lane) enum Comparison {
    /// Some are missing; this writes all.
    Missing(Tagging),
    Complete,
    /// The answer does not show them, so none can be added without losing others.
    NotShown,
}

impl Tagging {
    pub(in crate::lane) fn compare(&self, body: &Value) -> Comparison {
        match tags_of(body, self.entity.singular()) {
            None => Comparison::NotShown,
            Some(there) if self.tags.iter().all(|tag| there.contains(tag)) => Comparison::Complete,
            Some(there) => Comparison::Missing(Self { tags: united(there, &self.tags), ..self.clone() }),
        }
    }
}

/// The tags that cannot be added, because no answer shows which ones the record has.
pub(in crate::lane) fn left_out(tagging: &Tagging) -> Omitted {
    Omitted {
        entity: tagging.entity,
        field: "tags".to_owned(),
        trait_path: "tags".to_owned(),
        why: "Freshsales does not show the tags that are there".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_s_tags_keep_their_places_and_missing_ones_follow() {
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        assert_eq!(united(tags(&["b", "a"]), &tags(&["a", "A", "c", "A"])), tags(&["b", "a", "A", "c"]));
        assert_eq!(united(tags(&[]), &tags(&[])), tags(&[]));
    }
}
