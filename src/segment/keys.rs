//! Compares keys of traits. Segment's specification says that their case does not matter, and senders write one name as
//! `firstName`, `first_name` and `first-name`. Decoding and mapping call it.

/// A key in lower case, without `_` and `-`.
pub(crate) fn fold(key: &str) -> String {
    let mut folded = String::new();
    fold_into(&mut folded, key);
    folded
}

/// The same in a text that is used again for each of many keys.
pub(crate) fn fold_into(folded: &mut String, key: &str) {
    folded.clear();
    if !key.is_ascii() {
        return folded.extend(letters(key));
    }
    folded.push_str(key);
    folded.make_ascii_lowercase();
    if key.bytes().any(|byte| matches!(byte, b'_' | b'-')) {
        folded.retain(|letter| !matches!(letter, '_' | '-'));
    }
}

/// The characters of a folded key.
fn letters(key: &str) -> impl Iterator<Item = char> {
    key.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase)
}

/// Whether a key folds to `folded`. Builds no text.
pub(crate) fn folds_to(key: &str, folded: &str) -> bool {
    if key.is_ascii() {
        let letters = key.bytes().filter(|byte| !matches!(byte, b'_' | b'-'));
        return letters.map(|byte| byte.to_ascii_lowercase()).eq(folded.bytes());
    }
    letters(key).eq(folded.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_underscores_and_hyphens_do_not_matter() {
        for key in ["email", "Email", "E-Mail", "e_mail", "EMAIL", "-e-mail_"] {
            assert!(folds_to(key, "email"), "{key}");
            assert_eq!(fold(key), "email");
        }
        for key in ["emails", "e mail", "mail", "", "email."] {
            assert!(!folds_to(key, "email"), "{key}");
        }
    }
}
