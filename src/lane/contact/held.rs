//! An event as a lane holds it until it is settled. Records are held as the text in which they will be sent, which takes a
//! tenth of the memory of their values; activities as the part of the body in which they came.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::mapping::{Activity, ContactWrite, Lacking, Mapped, PageView, Record, RelatedWrite};
use crate::object::{Member, ObjectWriter, find, members};
use crate::segment::JsonMap;

/// What one event asks for.
#[derive(Debug)]
pub(in crate::lane) enum HeldEvent {
    /// From an identify. Shared with the work item that writes it unmerged.
    Contact(Arc<HeldContact>),
    Track(Box<Activity>),
    Page(Box<PageView>),
}

/// A contact to upsert, with its company and its deal.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::lane) struct HeldContact {
    pub(in crate::lane) email: Option<Box<str>>,
    /// The event gives the address itself; else it was known for the `userId`.
    pub(in crate::lane) says_email: bool,
    pub(in crate::lane) record: RecordText,
    pub(in crate::lane) company: Option<Box<HeldRelated>>,
    pub(in crate::lane) deal: Option<Box<HeldRelated>>,
}

impl HeldContact {
    /// The address under which it is written; empty if there is none.
    pub(in crate::lane) fn address(&self) -> &str {
        self.email.as_deref().unwrap_or_default()
    }

    /// The further addresses that it lists, in lower case: whoever writes one of them writes this contact.
    pub(in crate::lane) fn listed_addresses(&self) -> Vec<String> {
        let listed = self.record.field("emails").filter(|emails| emails.starts_with('['));
        let listed: Vec<serde_json::Value> =
            listed.and_then(|listed| serde_json::from_str(listed).ok()).unwrap_or_default();
        let address = |entry: &serde_json::Value| {
            let address = entry.get("value").unwrap_or(entry).as_str()?.trim().to_lowercase();
            (address != self.address()).then_some(address)
        };
        listed.iter().filter_map(address).collect()
    }

    /// The `external_id` that it is written with.
    pub(in crate::lane) fn external_id(&self) -> Option<String> {
        let id: Option<String> = serde_json::from_str(self.record.field("external_id")?).ok();
        id.filter(|id| !id.trim().is_empty())
    }
}

/// A sales account or a deal to upsert by name.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::lane) struct HeldRelated {
    pub(in crate::lane) name: Box<str>,
    pub(in crate::lane) record: RecordText,
}

/// A record as the texts of two objects. An object without members is an empty text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::lane) struct RecordText {
    fields: Box<str>,
    custom_field: Box<str>,
    /// Tags to add to the record's, an array's text, or empty. They are not written with the record.
    pub(in crate::lane) added_tags: Box<str>,
    /// Required fields that it lacks, an array's text, or empty. Used only if Freshsales refuses the record.
    lacking: Box<str>,
}

impl RecordText {
    /// The value of a default field, as JSON.
    pub(in crate::lane) fn field(&self, name: &str) -> Option<&str> {
        find(&self.fields, name)
    }

    pub(in crate::lane) fn lacking(&self) -> Vec<Lacking> {
        serde_json::from_str(&self.lacking).unwrap_or_default()
    }

    /// The same record with the account's defaults for the required fields that it lacks.
    pub(in crate::lane) fn with_defaults(&self) -> Self {
        let (mut fields, mut custom) = (JsonMap::new(), JsonMap::new());
        for Lacking { field, custom: is_custom, default, trait_path: _ } in self.lacking() {
            if let Some(default) = default {
                if is_custom { &mut custom } else { &mut fields }.insert(field, default);
            }
        }
        let text = |values: &JsonMap| serde_json::to_string(values).unwrap_or_default();
        Self {
            fields: overlaid([text(&fields).as_str(), &*self.fields].into_iter()),
            custom_field: overlaid([text(&custom).as_str(), &*self.custom_field].into_iter()),
            ..self.clone()
        }
    }

    pub(in crate::lane) fn has_custom(&self) -> bool {
        !self.custom_field.is_empty()
    }

    /// The same record without one default field.
    pub(in crate::lane) fn without(&self, name: &str) -> Self {
        let mut object = ObjectWriter::with_capacity(self.fields.len());
        let mut rest = members(&self.fields).filter(|member| member.name() != name).peekable();
        let fields = if rest.peek().is_none() {
            Box::default()
        } else {
            rest.for_each(|member| object.member(member));
            object.finish().into()
        };
        Self { fields, ..self.clone() }
    }

    /// The same record with these custom fields, an object's text, where it does not give them itself.
    pub(in crate::lane) fn over_custom(&self, custom: &str) -> Self {
        let custom_field = overlaid([custom, &*self.custom_field].into_iter());
        Self { custom_field, ..self.clone() }
    }

    /// The tags to add.
    pub(in crate::lane) fn tags(&self) -> Vec<String> {
        serde_json::from_str(&self.added_tags).unwrap_or_default()
    }

    /// The same record, whose tags are added to the ones in Freshsales. A null still clears them.
    fn append_tags(&mut self) {
        if let Some(tags) = self.field("tags").filter(|tags| tags.starts_with('[')).map(Into::into) {
            *self = Self { added_tags: tags, ..self.without("tags") };
        }
    }

    /// The record as a body carries it: custom fields inside `custom_field`, followed by `more` members.
    pub(in crate::lane) fn object(&self, more: &[(&str, String)]) -> String {
        self.object_without(&[], more)
    }

    /// The same without the default fields of these names.
    pub(in crate::lane) fn object_without(&self, left_out: &[&str], more: &[(&str, String)]) -> String {
        let extra: usize = more.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut object =
            ObjectWriter::with_capacity(self.fields.len() + self.custom_field.len() + extra + 20);
        if left_out.is_empty() {
            object.all(&self.fields);
        } else {
            let kept = members(&self.fields).filter(|member| !left_out.contains(&&*member.name()));
            kept.for_each(|member| object.member(member));
        }
        if !self.custom_field.is_empty() {
            object.json("custom_field", &self.custom_field);
        }
        for (name, value) in more {
            object.json(name, value);
        }
        object.finish()
    }

    /// The record that equals these, written one after another.
    pub(in crate::lane) fn merged<'a>(records: impl Iterator<Item = &'a Self> + Clone) -> Self {
        Self {
            fields: overlaid(records.clone().map(|record| &*record.fields)),
            custom_field: overlaid(records.clone().map(|record| &*record.custom_field)),
            added_tags: tags_of_all(records.clone()),
            lacking: lacking_in_all(records),
        }
    }
}

fn lacking_in_all<'a>(mut records: impl Iterator<Item = &'a RecordText>) -> Box<str> {
    let mut lacking = records.next().map(RecordText::lacking).unwrap_or_default();
    for record in records {
        if lacking.is_empty() {
            break;
        }
        let other = record.lacking();
        lacking.retain(|lacking| other.iter().any(|other| other.field == lacking.field));
    }
    text_of(&lacking)
}

fn text_of<T: serde::Serialize>(list: &[T]) -> Box<str> {
    if list.is_empty() { Box::default() } else { serde_json::to_string(list).unwrap_or_default().into() }
}

/// The tags that the records add, each once. A record that writes the field itself drops the tags before it.
fn tags_of_all<'a>(records: impl Iterator<Item = &'a RecordText>) -> Box<str> {
    let (mut seen, mut all) = (HashSet::new(), Vec::new());
    for record in records {
        if record.field("tags").is_some() {
            seen.clear();
            all.clear();
        }
        for tag in record.tags() {
            if seen.insert(tag.clone()) {
                all.push(tag);
            }
        }
    }
    text_of(&all)
}

/// The members of all objects. A later member replaces an earlier one of its name, in its place.
fn overlaid<'a>(objects: impl Iterator<Item = &'a str>) -> Box<str> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut all: Vec<Member<'_>> = Vec::new();
    for member in objects.flat_map(members) {
        // This program wrote all keys, so equal names are equal texts.
        let place = *places.entry(member.key).or_insert(all.len());
        match all.get_mut(place) {
            Some(earlier) => *earlier = member,
            None => all.push(member),
        }
    }
    if all.is_empty() {
        return Box::default();
    }
    let size = all.iter().map(|member| member.key.len() + member.value.len() + 2).sum::<usize>();
    let mut object = ObjectWriter::with_capacity(size + 2);
    for member in all {
        object.member(member);
    }
    object.finish().into()
}

impl From<Record> for RecordText {
    fn from(record: Record) -> Self {
        Self {
            fields: record.fields.into_text(),
            custom_field: record.custom_field.into_text(),
            added_tags: Box::default(),
            lacking: text_of(&record.lacking),
        }
    }
}

impl From<RelatedWrite> for HeldRelated {
    fn from(write: RelatedWrite) -> Self {
        Self { name: write.name.into(), record: write.record.into() }
    }
}

impl From<ContactWrite> for HeldContact {
    fn from(write: ContactWrite) -> Self {
        Self {
            says_email: write.email.is_some(),
            email: write.email.map(Into::into),
            record: write.record.into(),
            company: write.company.map(|company| Box::new(company.into())),
            deal: write.deal.map(|deal| Box::new(deal.into())),
        }
    }
}

impl HeldEvent {
    /// The same with tags that are added to those that are there.
    pub(in crate::lane) fn appending_tags(mut self) -> Self {
        if let Self::Contact(write) = &mut self {
            let write = Arc::make_mut(write);
            let related = [&mut write.company, &mut write.deal].into_iter().flatten();
            let records = related.map(|related| &mut related.record);
            records.chain([&mut write.record]).for_each(RecordText::append_tags);
        }
        self
    }
}

impl From<Mapped> for HeldEvent {
    fn from(mapped: Mapped) -> Self {
        match mapped {
            Mapped::Contact(write) => Self::Contact(Arc::new((*write).into())),
            Mapped::Track(activity) => Self::Track(Box::new(activity)),
            Mapped::Page(page) => Self::Page(Box::new(page)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_written_together_lack_what_none_of_them_gives_and_add_the_tags_of_all() {
        let text = |lacking: &[&str], tags: &serde_json::Value| {
            let lacking = lacking.iter().map(|field| Lacking {
                field: (*field).to_owned(),
                trait_path: (*field).to_owned(),
                custom: false,
                default: Some(json!(1)),
            });
            let fields = (&JsonMap::from_iter([("tags".to_owned(), tags.clone())])).into();
            let record = Record { fields, lacking: lacking.collect(), ..Record::default() };
            let mut text = RecordText::from(record);
            text.append_tags();
            text
        };
        let records = [
            text(&["a", "b", "c"], &json!(["x"])),
            text(&["c", "a"], &json!(null)),
            text(&["a", "c", "d"], &json!(["y", "z", "y"])),
        ];
        let merged = RecordText::merged(records.iter());
        let lacking: Vec<String> = merged.lacking().into_iter().map(|lacking| lacking.field).collect();
        assert_eq!(lacking, ["a", "c"]);
        assert_eq!(merged.tags(), ["y", "z"], "a null before them clears the others");
        assert_eq!(merged.object(&[]), r#"{"tags":null}"#);
        assert_eq!(merged.with_defaults().object(&[]), r#"{"a":1,"c":1,"tags":null}"#);
    }
}
