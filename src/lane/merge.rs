//! Several identifies of one contact become one. Pure.
//!
//! Merging must equal writing one after another: later values win, and what would not come out the same is not
//! merged.

use crate::mapping::{ContactWrite, RelatedWrite};

/// Whether writing both at once equals writing one after the other.
pub(super) fn may_merge(earlier: &ContactWrite, later: &ContactWrite) -> bool {
    let same_name = |one: &Option<RelatedWrite>, other: &Option<RelatedWrite>| match (one, other) {
        (Some(one), Some(other)) => one.name.to_lowercase() == other.name.to_lowercase(),
        _ => true,
    };
    // A list of addresses adds to what is there, so it is never replaced by a later one.
    let addresses = |write: &ContactWrite| write.record.fields.get("emails").cloned();
    earlier.email == later.email
        && same_name(&earlier.company, &later.company)
        && same_name(&earlier.deal, &later.deal)
        && addresses(earlier) == addresses(later)
}

/// The one write that equals these, one after another.
pub(super) fn merged<'a>(mut writes: impl Iterator<Item = &'a ContactWrite>) -> Option<ContactWrite> {
    let mut all = writes.next()?.clone();
    for later in writes {
        absorb(&mut all, later);
    }
    Some(all)
}

/// Adds a later write to the one that equals all before it.
pub(super) fn absorb(all: &mut ContactWrite, later: &ContactWrite) {
    overwrite(&mut all.record, &later.record);
    related(&mut all.company, later.company.as_ref());
    related(&mut all.deal, later.deal.as_ref());
    if later.user_id.is_some() {
        all.user_id.clone_from(&later.user_id);
    }
}

fn related(all: &mut Option<RelatedWrite>, later: Option<&RelatedWrite>) {
    match (all.as_mut(), later) {
        (Some(all), Some(later)) => {
            all.name.clone_from(&later.name);
            overwrite(&mut all.record, &later.record);
        }
        (None, Some(later)) => *all = Some(later.clone()),
        (_, None) => {}
    }
}

fn overwrite(all: &mut crate::mapping::Record, later: &crate::mapping::Record) {
    let pairs = |map: &crate::segment::JsonMap| map.clone().into_iter();
    all.fields.extend(pairs(&later.fields));
    all.custom_field.extend(pairs(&later.custom_field));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Record;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn record(values: &BTreeMap<u8, u8>) -> Record {
        let mut record = Record::default();
        for (key, value) in values {
            let map = if key % 2 == 0 { &mut record.fields } else { &mut record.custom_field };
            map.insert(format!("field_{key}"), json!(value));
        }
        record
    }

    fn write(values: &BTreeMap<u8, u8>, company: Option<u8>) -> ContactWrite {
        ContactWrite {
            email: "a@example.com".to_owned(),
            user_id: None,
            record: record(values),
            company: company
                .map(|name| RelatedWrite { name: format!("Company {name}"), record: record(values) }),
            deal: None,
        }
    }

    /// What a CRM holds after a write: the values by field, and the companies linked with theirs.
    type Held = (BTreeMap<String, u64>, BTreeMap<String, BTreeMap<String, u64>>);

    fn apply(held: &mut Held, write: &ContactWrite) {
        let values = |record: &Record| -> Vec<(String, u64)> {
            let all = record.fields.iter().chain(record.custom_field.iter());
            all.map(|(key, value)| (key.clone(), value.as_u64().unwrap())).collect()
        };
        held.0.extend(values(&write.record));
        if let Some(company) = &write.company {
            held.1.entry(company.name.clone()).or_default().extend(values(&company.record));
        }
    }

    proptest! {
        #[test]
        fn merging_equals_writing_one_after_another(
            events in prop::collection::vec((prop::collection::btree_map(0u8..6, any::<u8>(), 0..4), prop::option::of(0u8..2)), 1..6)
        ) {
            let writes: Vec<ContactWrite> = events.iter().map(|(values, company)| write(values, *company)).collect();
            let mut one_by_one = Held::default();
            let mut at_once = Held::default();
            let mut group: Vec<&ContactWrite> = Vec::new();
            for next in &writes {
                apply(&mut one_by_one, next);
                let joins = merged(group.iter().copied()).is_none_or(|all| may_merge(&all, next));
                if !joins {
                    apply(&mut at_once, &merged(group.drain(..)).unwrap());
                }
                group.push(next);
            }
            apply(&mut at_once, &merged(group.into_iter()).unwrap());
            prop_assert_eq!(one_by_one, at_once);
        }
    }
}
