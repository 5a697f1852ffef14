//! The events that are carried.

use serde_json::{Value, json};

/// What an event asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The event excludes this destination: it goes the whole way, and no call is made.
    Skipped,
    /// An identify, each of another contact.
    Identify,
    /// One call each.
    Track,
}

/// What stands for the number of an event, of its contact and of its account.
const MARKS: [&str; 3] = ["%EVENT%", "%CONTACT%", "%ACCOUNT%"];

/// The documented example's context around traits or properties, some 1.1 KB.
fn template(kind: Kind) -> String {
    let example = include_str!("../../examples/events.ndjson").lines().next().expect("an identify");
    let mut event: Value = serde_json::from_str(example).expect("JSON");
    let object = event.as_object_mut().expect("an object");
    object.insert("messageId".into(), json!("message-%EVENT%"));
    object.insert("userId".into(), json!("user-%CONTACT%"));
    object.insert("writeKey".into(), json!("key-%ACCOUNT%"));
    object.remove("projectId");
    let email = "n%CONTACT%@example.com";
    let traits = object["traits"].as_object_mut().expect("traits");
    traits.remove("company");
    traits.insert("email".into(), json!(email));
    traits.insert("id".into(), json!("user-%CONTACT%"));
    traits.insert("title".into(), json!("Head of %EVENT%"));
    match kind {
        Kind::Skipped => {
            object.insert("integrations".into(), json!({"All": false}));
        }
        Kind::Track => {
            object.insert("type".into(), json!("track"));
            object.insert("event".into(), json!("Order Completed"));
            object.remove("traits");
            object["context"]["traits"] = json!({"email": email});
            object
                .insert("properties".into(), json!({"order": "%EVENT%", "total": 129.5, "currency": "EUR"}));
        }
        Kind::Identify => {}
    }
    event.to_string()
}

/// Makes events by their numbers, for so many accounts in turn.
pub struct Events {
    template: String,
    accounts: usize,
}

impl Events {
    pub fn new(kind: Kind, accounts: usize) -> Self {
        Self { template: template(kind), accounts }
    }

    /// `run` tells events of one round from those of another.
    pub fn event(&self, run: usize, number: usize) -> String {
        let account = number % self.accounts;
        let values = [format!("{run}-{number}"), number.to_string(), account.to_string()];
        let marks = MARKS.iter().zip(&values);
        marks.fold(self.template.clone(), |text, (mark, value)| text.replace(mark, value))
    }
}

/// The number of the contact that each address in a body is of.
pub fn contacts_in(body: &[u8]) -> impl Iterator<Item = usize> {
    let ends =
        body.windows(13).enumerate().filter(|(_, found)| *found == b"@example.com\"").map(|(at, _)| at);
    ends.filter_map(|end| {
        let digits = body[..end].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&body[end - digits..end]).ok()?.parse().ok()
    })
}
