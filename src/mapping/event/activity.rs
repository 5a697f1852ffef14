//! Tracks and pages: whose activity it is, and what is sent of it. Properties stay text. The mapper calls it.

use super::email;
use crate::mapping::outcome::findings::Findings;
use crate::mapping::{Activity, Identity, PageView};
use crate::object::{ObjectText, find, members, string};
use crate::schema::Entity;
use crate::segment::{Event, folds_to};

/// The value of `email` in these traits: that of the exact key unless it is null, else of the first other spelling.
fn email_of(traits: &str) -> Option<&str> {
    let mut alike = members(traits)
        .filter(|member| member.value != "null" && folds_to(&member.name(), "email"))
        .map(|member| (member.name() == "email", member.value));
    let exact = alike.clone().filter(|(exact, _)| *exact).last();
    exact.or_else(|| alike.next()).map(|(_, value)| value)
}

/// The event has a `userId`: an activity without one is skipped before it is mapped.
fn identity(event: &Event) -> Identity {
    let user_id = event.user_id.as_deref().unwrap_or_default();
    let context_email = || {
        let email = email_of(event.context_traits.as_ref()?.as_str())?;
        email::address(&string(email)?)
    };
    match email::address(user_id).or_else(context_email) {
        Some(address) => Identity::Email(address),
        None => Identity::UserId(user_id.to_owned()),
    }
}

/// Whether the properties hold this name with a value other than null.
fn gives(properties: &ObjectText, name: &str) -> bool {
    find(properties.as_str(), name).is_some_and(|value| value != "null")
}

pub(in crate::mapping) fn track(
    event: &Event,
    name: &str,
    properties: &ObjectText,
    findings: &mut Findings,
) -> Activity {
    // The tracking API takes the event's name from the same object, so `name` is sent as `property_name`.
    let (mut gives_name, mut gives_other) = (false, false);
    for member in members(properties.as_str()) {
        match &*member.name() {
            "name" => gives_name = member.value != "null",
            "property_name" => gives_other = true,
            _ => {}
        }
    }
    if gives_name && gives_other {
        findings.ignore(Entity::Contact, || "properties.name".into(), "property_name is sent instead");
    }
    Activity { identity: identity(event), name: name.to_owned(), properties: properties.clone() }
}

pub(in crate::mapping) fn page(
    event: &Event,
    name: Option<&str>,
    category: Option<&str>,
    url: &str,
    properties: &ObjectText,
) -> PageView {
    let added = [("name", name), ("category", category)]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .filter(|(key, _)| !gives(properties, key))
        .map(|(key, value)| (key, value.to_owned()))
        .collect();
    PageView { identity: identity(event), url: url.to_owned(), properties: properties.clone(), added }
}
