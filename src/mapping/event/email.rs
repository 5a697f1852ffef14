//! E-mail addresses: what is one, which one identifies a contact, and the value of the field `emails`.

use std::collections::HashSet;

use crate::mapping::traits::special::SpecialTrait;
use crate::mapping::values::mismatch::TypeMismatch;
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::segment::{Entries, Given, describe};
use email_address::EmailAddress;

/// Freshsales keeps no more addresses for a contact.
const MOST_ADDRESSES: usize = 10;

/// In bytes: 64 before the `@` and 255 behind it. Parsing a longer text, which may be as long as a body, costs time.
const LONGEST_ADDRESS: usize = 320;
/// The most entries that are read of a list of addresses, repeated ones included.
const MOST_ENTRIES: usize = 100;

const ADDRESS: &str = "an e-mail address such as ada@example.com";

/// The text as an e-mail address, trimmed and in lower case. `None` if it is anything but a bare address.
pub(in crate::mapping) fn address(text: &str) -> Option<String> {
    let text = text.trim();
    // Most texts that are no address are ids.
    if text.len() > LONGEST_ADDRESS || !text.contains('@') || text.contains(['<', '>']) {
        return None;
    }
    let address = if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() };
    // In its parts: as a whole, an address may have a name before it, and a number in brackets for a domain.
    let (local_part, domain) = address.rsplit_once('@')?;
    let valid = !domain.starts_with('[')
        && EmailAddress::is_valid_local_part(local_part)
        && EmailAddress::is_valid_domain(domain);
    valid.then_some(address)
}

/// The value of the trait `email`, in any spelling of the key.
pub(crate) fn email_trait<'t, 'a>(traits: &'t Entries<'a>) -> Option<&'t Given<'a>> {
    SpecialTrait::Email.value(traits)
}

/// The address that identifies the contact: the trait `email`, else the `userId` if it is an address. `None` if only a
/// `userId` that is no address identifies the contact.
pub(in crate::mapping) fn identifying(
    email: Option<&Given<'_>>,
    user_id: Option<&str>,
) -> Result<Option<String>, Refusal> {
    let refuse = |reason, problem: &str, got: Option<&Given<'_>>| {
        let problem = Problem {
            field: Some("emails".into()),
            trait_path: Some("email".into()),
            problem: problem.into(),
            expected: Some(ADDRESS.into()),
            got: got.map(describe),
            ..Problem::default()
        };
        Refusal::new(reason, problem)
    };
    match email {
        Some(Given::Text(text)) if !text.trim().is_empty() => address(text)
            .map(Some)
            .ok_or_else(|| refuse(DeadLetterReason::InvalidEmail, "this is no e-mail address", email)),
        None | Some(Given::Null | Given::Text(_)) => match user_id {
            Some(user_id) => Ok(address(user_id)),
            None => {
                Err(refuse(DeadLetterReason::MissingEmail, "there is no e-mail address and no userId", None))
            }
        },
        Some(Given::Bool(_) | Given::Number(_) | Given::List(_) | Given::Object(_)) => {
            Err(refuse(DeadLetterReason::InvalidEmail, "wrong kind of value", email))
        }
    }
}

/// The value for the field `emails`: the identifying address first, then the addresses that the trait adds.
pub(in crate::mapping) fn list<'a>(
    value: Given<'a>,
    identity: Option<&str>,
) -> Result<Option<Given<'a>>, TypeMismatch> {
    let items = match value {
        Given::List(items) => items,
        Given::Text(_) | Given::Object(_) => vec![value],
        Given::Null | Given::Bool(_) | Given::Number(_) => return Err(mismatch(&value)),
    };
    let too_many = |got: String| TypeMismatch {
        problem: "a contact has too many e-mail addresses".into(),
        expected: format!("at most {MOST_ADDRESSES} addresses, the one that identifies the contact included"),
        got,
    };
    if items.len() > MOST_ENTRIES {
        return Err(too_many(format!("{} addresses", items.len())));
    }
    let mut first = identity.map(|address| with_value(Entries::default(), address));
    let mut seen: HashSet<String> = identity.map(str::to_owned).into_iter().collect();
    let mut others = Vec::new();
    for item in items {
        let (mut object, text) = match item {
            Given::Null => continue,
            Given::Text(text) => (Entries::default(), text),
            Given::Object(mut object) => match object.remove("value") {
                Some(Given::Text(text)) => (object, text),
                other => return Err(mismatch(&other.unwrap_or_default())),
            },
            Given::Bool(_) | Given::Number(_) | Given::List(_) => return Err(mismatch(&item)),
        };
        if text.trim().is_empty() {
            continue;
        }
        let Some(folded) = address(&text) else { return Err(mismatch(&Given::Text(text))) };
        object.remove("is_primary");
        if identity == Some(folded.as_str()) {
            // Replaces the bare entry: the sender's may carry a label.
            first = Some(with_value(object, &folded));
        } else if seen.insert(folded) {
            others.push(with_value(object, text.trim()));
        }
    }
    let count = others.len() + usize::from(first.is_some());
    if count > MOST_ADDRESSES {
        return Err(too_many(format!("{count} addresses")));
    }
    if others.is_empty() && first.is_none() {
        return Ok(None);
    }
    let primary = first.into_iter().map(|entry| (entry, true));
    let entries = primary.chain(others.into_iter().map(|entry| (entry, false)));
    let entries = entries.map(|(mut entry, is_primary)| {
        entry.push("is_primary", Given::Bool(is_primary));
        Given::Object(entry)
    });
    Ok(Some(Given::List(entries.collect())))
}

fn with_value<'a>(rest: Entries<'a>, address: &str) -> Entries<'a> {
    let mut entry = Entries::default();
    entry.push("value", Given::Text(address.to_owned().into()));
    rest.into_iter().for_each(|(key, value)| entry.push(key, value));
    entry
}

fn mismatch(got: &Given<'_>) -> TypeMismatch {
    TypeMismatch::new(
        "this is no e-mail address",
        "e-mail addresses, as strings or as objects with a value",
        got,
    )
}

#[cfg(test)]
mod tests {
    use email_address::Options;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_bare() {
        for (text, expected) in [
            (" Ada@Example.COM ", Some("ada@example.com")),
            ("a.b+c@sub.example.co", Some("a.b+c@sub.example.co")),
            ("root@localhost", Some("root@localhost")),
            ("Ada <ada@example.com>", None),
            ("<ada@example.com>", None),
            ("ada@[127.0.0.1]", None),
            ("ada@", None),
            ("@example.com", None),
            ("ada@@example.com", None),
            ("a da@example.com", None),
            ("a@b.co, c@d.co", None),
            ("97980cfea0067", None),
            ("", None),
        ] {
            assert_eq!(address(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_what_is_one_as_a_whole(
            text in prop_oneof![
                "[A-Za-z0-9.\\-_+'\"@ ÉÜ\\[\\]\\\\<>:]{0,12}",
                "[A-Z.\"]{0,3}@[a-zÉ]{0,3}[.\\-\\[]?[a-z0-9:]{0,4}[.\\]]?",
                "[a-zß]{62,66}@[a-zß.]{60,66}(.[a-z]{62,64}){0,4}",
            ],
        ) {
            let lower = text.trim().to_lowercase();
            let bare = Options::default().without_display_text().without_domain_literal();
            let whole = EmailAddress::parse_with_options(&lower, bare).is_ok() && !lower.contains(['<', '>']);
            let expected = (whole && text.trim().len() <= LONGEST_ADDRESS).then_some(lower);
            prop_assert_eq!(address(&text), expected);
        }
    }
}
