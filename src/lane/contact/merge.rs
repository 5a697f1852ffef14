//! Merges several identifies of one contact into one write. The result must equal writing them one after another: later
//! values win, and identifies for which that would not hold are not merged.

use std::sync::Arc;

use super::held::{HeldContact, HeldRelated, RecordText};

/// What a later identify must agree with, to be written together with those before it.
#[derive(Debug)]
pub(in crate::lane) struct Joined {
    first: Arc<HeldContact>,
    /// The last that lists addresses, else the first.
    emails: Arc<HeldContact>,
    /// The last that gives an `external_id`, else the first.
    external_id: Arc<HeldContact>,
    /// The last that names a company, else the first.
    company: Arc<HeldContact>,
    /// The last that names a deal, else the first.
    deal: Arc<HeldContact>,
}

impl Joined {
    pub(in crate::lane) fn new(first: &Arc<HeldContact>) -> Self {
        Self {
            first: first.clone(),
            emails: first.clone(),
            external_id: first.clone(),
            company: first.clone(),
            deal: first.clone(),
        }
    }

    /// Takes a later identify in. False if writing it with the others would not equal writing it after them.
    pub(in crate::lane) fn join(&mut self, later: &Arc<HeldContact>) -> bool {
        // A list of addresses adds to the contact's, so a later list cannot replace it.
        let joins = self.first.email == later.email
            && same(self.company.company.as_deref(), later.company.as_deref())
            && same(self.deal.deal.as_deref(), later.deal.as_deref())
            && agree(self.emails.record.field("emails"), later.record.field("emails"))
            // Two userIds with one address: only one of them can be the contact's.
            && agree(self.external_id.record.field("external_id"), later.record.field("external_id"));
        if joins && later.record.field("external_id").is_some() {
            self.external_id = later.clone();
        }
        if joins && later.record.field("emails").is_some() {
            self.emails = later.clone();
        }
        if joins && later.company.is_some() {
            self.company = later.clone();
        }
        if joins && later.deal.is_some() {
            self.deal = later.clone();
        }
        joins
    }
}

/// Whether both are equal, or one is not given.
fn agree(one: Option<&str>, other: Option<&str>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

fn same(one: Option<&HeldRelated>, other: Option<&HeldRelated>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one.name.to_lowercase() == other.name.to_lowercase())
}

/// The write that equals these, one after another.
pub(in crate::lane) fn merged<'a>(
    mut writes: impl Iterator<Item = &'a Arc<HeldContact>> + Clone,
) -> Option<Arc<HeldContact>> {
    let all = writes.clone();
    let first = writes.next()?;
    if writes.next().is_none() {
        return Some(first.clone());
    }
    let related = |of: fn(&HeldContact) -> Option<&HeldRelated>| {
        let related = all.clone().filter_map(|write| of(write));
        let name = related.clone().last()?.name.clone();
        Some(Box::new(HeldRelated {
            name,
            record: RecordText::merged(related.map(|related| &related.record)),
        }))
    };
    Some(Arc::new(HeldContact {
        email: first.email.clone(),
        says_email: all.clone().any(|write| write.says_email),
        record: RecordText::merged(all.clone().map(|write| &write.record)),
        company: related(|write| write.company.as_deref()),
        deal: related(|write| write.deal.as_deref()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{ContactWrite, Record, RelatedWrite};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn record(values: &BTreeMap<u8, Option<u8>>) -> Record {
        let mut record = Record::default();
        for (key, value) in values {
            let map = if key % 2 == 0 { &mut record.fields } else { &mut record.custom_field };
            map.insert(format!("field_{key}"), json!(value));
        }
        record
    }

    fn write(values: &BTreeMap<u8, Option<u8>>, company: Option<u8>) -> ContactWrite {
        ContactWrite {
            email: Some("a@example.com".to_owned()),
            user_id: None,
            record: record(values),
            company: company
                .map(|name| RelatedWrite { name: format!("Company {name}"), record: record(values) }),
            deal: None,
        }
    }

    /// What a CRM holds after a write: the values by field, and the linked companies with theirs.
    type Written = (BTreeMap<String, Value>, BTreeMap<String, BTreeMap<String, Value>>);

    fn apply(held: &mut Written, write: &HeldContact) {
        let values = |record: &RecordText| -> Vec<(String, Value)> {
            let record: Value = serde_json::from_str(&record.object(&[])).unwrap();
            let mut all = record.as_object().unwrap().clone();
            let custom = all.remove("custom_field").unwrap_or_default();
            all.extend(custom.as_object().cloned().unwrap_or_default());
            all.into_iter().collect()
        };
        held.0.extend(values(&write.record));
        if let Some(company) = &write.company {
            held.1.entry(company.name.to_string()).or_default().extend(values(&company.record));
        }
    }

    proptest! {
        #[test]
        fn merging_equals_writing_one_after_another(
            events in prop::collection::vec((prop::collection::btree_map(0u8..6, any::<Option<u8>>(), 0..4), prop::option::of(0u8..2)), 1..6)
        ) {
            let writes: Vec<Arc<HeldContact>> =
                events.iter().map(|(values, company)| Arc::new(write(values, *company).into())).collect();
            let mut one_by_one = Written::default();
            let mut at_once = Written::default();
            let mut group: Vec<Arc<HeldContact>> = Vec::new();
            let mut joined: Option<Joined> = None;
            for next in &writes {
                apply(&mut one_by_one, next);
                if !joined.as_mut().is_some_and(|joined| joined.join(next)) {
                    if let Some(all) = merged(group.iter()) {
                        apply(&mut at_once, &all);
                    }
                    group.clear();
                    joined = Some(Joined::new(next));
                }
                group.push(next.clone());
            }
            apply(&mut at_once, &merged(group.iter()).unwrap());
            prop_assert_eq!(one_by_one, at_once);
        }
    }
}
