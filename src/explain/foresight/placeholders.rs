//! Stand-ins for what only Freshsales knows: ids, and the e-mail address of a contact that is looked up.

use serde_json::{Number, Value};
use url::form_urlencoded::Serializer;

use super::ForeseenRequest;
use super::condition::Ways;
use crate::freshsales::{BudgetKind, Call};

/// Ids in modelled answers, and the words that stand for them in what people read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placeholders {
    base: i64,
}

const FIRST_BASE: i64 = 9_000_000_000_000_000;
/// The address of the contact that a look-up finds.
pub(super) const FOUND_ADDRESS: &str = "address-of-the-contact-that-was-found";

impl Placeholders {
    /// Ids that do not occur in the event.
    pub(super) fn unlike(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let free = |base: &i64| !text.contains(&base.to_string()[..15]);
        let mut bases = (0..1000).map(|step| FIRST_BASE + step * 1000);
        Self { base: bases.find(free).unwrap_or(FIRST_BASE) }
    }

    pub(super) const fn contact(self) -> i64 {
        self.base + 1
    }

    /// A contact other than the one that is written by its address.
    pub(super) const fn other_contact(self) -> i64 {
        self.base + 2
    }

    pub(super) const fn sales_account(self) -> i64 {
        self.base + 3
    }

    pub(super) const fn deal(self) -> i64 {
        self.base + 4
    }

    /// Of an address that the contact has.
    pub(super) const fn email(self) -> i64 {
        self.base + 5
    }

    fn words(self) -> [(String, &'static str); 6] {
        [
            (self.contact().to_string(), "<contact id>"),
            (self.other_contact().to_string(), "<id of the contact found>"),
            (self.sales_account().to_string(), "<sales account id>"),
            (self.deal().to_string(), "<deal id>"),
            (self.email().to_string(), "<id of the address>"),
            (FOUND_ADDRESS.to_owned(), "<e-mail address of the contact found>"),
        ]
    }

    /// The call as people read it.
    pub(super) fn request(self, call: &Call, ways: &Ways) -> ForeseenRequest {
        let mut path = call.path.to_string();
        if !call.query.is_empty() {
            let mut query = Serializer::new(String::new());
            query.extend_pairs(&call.query);
            path = format!("{path}?{}", query.finish());
        }
        let body = call.body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        ForeseenRequest {
            method: call.endpoint.method().to_string(),
            path: self.in_text(path),
            body: body.map(|body| self.in_value(body)),
            condition: ways.words(),
            after_refusal: ways.need_refusal(),
            counts_against_quota: call.endpoint.budget() == BudgetKind::Api,
        }
    }

    fn in_text(self, text: String) -> String {
        self.words().into_iter().fold(text, |text, (id, word)| text.replace(&id, word))
    }

    fn in_number(self, number: Number) -> Value {
        let known = self.words().into_iter().find(|(id, _)| number.as_str() == id);
        known.map_or(Value::Number(number), |(_, word)| Value::from(word))
    }

    fn in_value(self, value: Value) -> Value {
        match value {
            Value::Number(number) => self.in_number(number),
            Value::String(text) => Value::String(self.in_text(text)),
            Value::Array(items) => items.into_iter().map(|item| self.in_value(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(key, value)| (key, self.in_value(value))).collect()
            }
            Value::Null | Value::Bool(_) => value,
        }
    }
}
