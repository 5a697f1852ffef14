//! Texts in `userId` that stand there by accident: a sender's program wrote a value that was not there, or what it uses
//! for visitors. Taken at their word, all such events would be one contact's. Decoding calls it.

/// In lower case, as they are compared.
const WORDS: [&str; 13] = [
    "undefined",
    "null",
    "[object object]",
    "nan",
    "0",
    "anonymous",
    "guest",
    // The same of other languages and their printing.
    "none",
    "nil",
    "(null)",
    "<null>",
    "[object undefined]",
    "00000000-0000-0000-0000-000000000000",
];

/// The word for a template that was filled with nothing: `{}`, `{{}}`, `{ }`.
const BRACES: &str = "{}";

/// The word that this `userId` is, if it names nobody. It has no blanks around it.
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
    fn accidents_are_known_in_any_case_and_users_are_left_alone() {
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
