//! What changed between two lists of an account's fields.

use serde::Serialize;
use serde_json::{Value, json};

use super::field_list::ListedField;

/// One thing that is another now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SavedFieldChange {
    #[expect(missing_docs, reason = "as it says")]
    pub account: String,
    /// `contact`, `sales_account` or `deal`.
    pub entity: &'static str,
    /// The trait that sets the field.
    #[serde(rename = "trait")]
    pub trait_path: String,
    /// Its internal name.
    pub field: String,
    /// `added`, `gone`, `label`, `type`, `required`, `writable`, `choice_added`, `choice_gone` or `choice_label`.
    pub change: &'static str,
    /// What was; the type of a field that is gone.
    pub before: Value,
    /// What is; the type of a field that was added.
    pub now: Value,
}

/// What changed, in the order of the fields; those that are gone come last.
pub fn changes(before: &[ListedField], now: &[ListedField]) -> Vec<SavedFieldChange> {
    let same =
        |one: &ListedField, other: &ListedField| (one.entity, &one.field) == (other.entity, &other.field);
    let mut changes = Vec::new();
    for field in now {
        match before.iter().find(|old| same(old, field)) {
            None => changes.push(change(field, "added", Value::Null, json!(field.kind))),
            Some(old) => within(old, field, &mut changes),
        }
    }
    let gone = before.iter().filter(|old| !now.iter().any(|field| same(old, field)));
    changes.extend(gone.map(|old| change(old, "gone", json!(old.kind), Value::Null)));
    changes
}

fn within(old: &ListedField, field: &ListedField, changes: &mut Vec<SavedFieldChange>) {
    let members = [
        ("label", json!(old.label), json!(field.label)),
        ("type", json!(old.kind), json!(field.kind)),
        ("required", json!(old.required), json!(field.required)),
        ("writable", json!(old.writable), json!(field.writable)),
    ];
    let other = members.into_iter().filter(|(_, before, now)| before != now);
    changes.extend(other.map(|(name, before, now)| change(field, name, before, now)));
    let label = |choice: &Value| choice.get("label").cloned().unwrap_or_default();
    for choice in &field.choices {
        let before = old.choices.iter().find(|before| before.get("id") == choice.get("id")).map(label);
        match before {
            None => changes.push(change(field, "choice_added", Value::Null, label(choice))),
            Some(before) if before != label(choice) => {
                changes.push(change(field, "choice_label", before, label(choice)));
            }
            Some(_) => {}
        }
    }
    let kept = |old: &&Value| field.choices.iter().any(|choice| choice.get("id") == old.get("id"));
    let gone = old.choices.iter().filter(|old| !kept(old));
    changes.extend(gone.map(|old| change(field, "choice_gone", label(old), Value::Null)));
}

fn change(field: &ListedField, change: &'static str, before: Value, now: Value) -> SavedFieldChange {
    let ListedField { account, entity, trait_path, field, .. } = field.clone();
    SavedFieldChange { account, entity, trait_path, field, change, before, now }
}

impl SavedFieldChange {
    /// In words.
    pub fn words(&self) -> String {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (before, now) = (text(&self.before), text(&self.now));
        match self.change {
            "added" => format!("new field, {now}"),
            "gone" => format!("the field is gone (it was {before})"),
            "label" => format!("label {now}, was {before}"),
            "type" => format!("type {now}, was {before}"),
            "required" if self.now == true => "required now".to_owned(),
            "required" => "no longer required".to_owned(),
            "writable" if self.now == true => "may be written now".to_owned(),
            "writable" => "read-only now".to_owned(),
            "choice_added" => format!("new choice {now}"),
            "choice_gone" => format!("the choice {before} is gone"),
            _ => format!("choice {now}, was {before}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, more: &[(&str, Value)]) -> ListedField {
        let mut field = ListedField {
            account: "acme".to_owned(),
            entity: "contact",
            trait_path: name.to_owned(),
            field: name.to_owned(),
            label: "L".to_owned(),
            kind: "text".to_owned(),
            custom: true,
            required: false,
            writable: true,
            choices: Vec::new(),
        };
        for (key, value) in more {
            match *key {
                "label" => field.label = value.as_str().unwrap().to_owned(),
                "type" => field.kind = value.as_str().unwrap().to_owned(),
                "required" => field.required = value.as_bool().unwrap(),
                "writable" => field.writable = value.as_bool().unwrap(),
                "entity" => field.entity = "deal",
                _ => field.choices = value.as_array().unwrap().clone(),
            }
        }
        field
    }

    #[test]
    fn each_change_is_found_and_told() {
        let choices = |list: &[(u8, &str)]| {
            json!(list.iter().map(|(id, label)| json!({"id": id, "label": label})).collect::<Vec<_>>())
        };
        for (before, now, words) in [
            (vec![field("a", &[])], vec![field("a", &[])], vec![]),
            (vec![], vec![field("a", &[("type", json!("date"))])], vec!["new field, date"]),
            (vec![field("a", &[])], vec![], vec!["the field is gone (it was text)"]),
            (vec![field("a", &[])], vec![field("a", &[("label", json!("M"))])], vec!["label M, was L"]),
            (
                vec![field("a", &[])],
                vec![field("a", &[("type", json!("number"))])],
                vec!["type number, was text"],
            ),
            (vec![field("a", &[])], vec![field("a", &[("required", json!(true))])], vec!["required now"]),
            (
                vec![field("a", &[("required", json!(true))])],
                vec![field("a", &[])],
                vec!["no longer required"],
            ),
            (vec![field("a", &[])], vec![field("a", &[("writable", json!(false))])], vec!["read-only now"]),
            (
                vec![field("a", &[("writable", json!(false))])],
                vec![field("a", &[])],
                vec!["may be written now"],
            ),
            (
                vec![field("a", &[("choices", choices(&[(1, "x"), (2, "y")]))])],
                vec![field("a", &[("choices", choices(&[(2, "Y"), (3, "z")]))])],
                vec!["choice Y, was y", "new choice z", "the choice x is gone"],
            ),
            // Fields of two entities may have one name.
            (
                vec![field("a", &[])],
                vec![field("a", &[("entity", json!(true))])],
                vec!["new field, text", "the field is gone (it was text)"],
            ),
        ] {
            let told: Vec<String> = changes(&before, &now).iter().map(SavedFieldChange::words).collect();
            assert_eq!(told, words);
        }
    }
}
