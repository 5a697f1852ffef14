//! Placeholders in `userId`: a sender's program wrote a missing value as text, or one name for all its visitors. Used
//! as ids, they would write all such users to one contact. Decoding calls it.

/// In lower case.
const WORDS: [&str; 13] = [
    "undefined",
    "null",
    "[object object]",
    "nan",
    "0",
    "anonymous",
    "guest",
    // From other languages.
    "none",
    "nil",
    "(null)",
    "<null>",
    "[object undefined]",
    "00000000-0000-0000-0000-000000000000",
];

/// Reported for a template that was filled with nothing: `{}`, `{{}}`, `{ }`.
const BRACES: &str = "{}";

/// The placeholder that this trimmed `userId` is, if it is one.
pub(in crate::segment) fn placeholder(user_id: &str) -> Option<&'static str> {
    let word = WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(user_id));
    let braces = || {
        let braces = user_id.chars().all(|c| matches!(c, '{' | '}') || c.is_whitespace());
        (braces && !user_id.is_empty()).then_some(BRACES)
    };
    word.or_else(braces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_recognised_in_any_case_and_ids_of_users_are_not() {
        for (user_id, word) in [
            ("undefined", Some("undefined")),
            ("NULL", Some("null")),
            ("[object Object]", Some("[object object]")),
            ("NaN", Some("nan")),
            ("0", Some("0")),
            ("Anonymous", Some("anonymous")),
            ("GUEST", Some("guest")),
            ("None", Some("none")),
            ("nil", Some("nil")),
            ("(null)", Some("(null)")),
            ("<null>", Some("<null>")),
            ("[object Undefined]", Some("[object undefined]")),
            ("00000000-0000-0000-0000-000000000000", Some("00000000-0000-0000-0000-000000000000")),
            ("00000000-0000-0000-0000-000000000001", None),
            ("{}", Some("{}")),
            ("{{ }}", Some("{}")),
            ("00", None),
            ("guest-7", None),
            ("null@example.com", None),
            ("{7}", None),
            ("", None),
            ("u-1", None),
        ] {
            assert_eq!(placeholder(user_id), word, "{user_id}");
        }
    }
}
