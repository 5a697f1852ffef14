//! Error messages in German, as an account answers whose user has chosen it.
//!
//! They are made in English and translated when they are answered. A client that decides by the words of a message thus
//! fails against the sandbox first. Labels and e-mail addresses inside a message stay as they are.

use crate::sandbox::options::Language;

/// Patterns in English and German; `{}` is a label, an address or a number.
const GERMAN: &[(&str, &str)] = &[
    ("{} already exists.", "{} ist bereits vorhanden."),
    ("{} is not unique", "{} ist nicht eindeutig"),
    ("{} has already been taken", "{} ist bereits vergeben"),
    ("{} is not included in the list", "{} ist kein gültiger Wert"),
    ("{} is not a number", "{} ist keine Zahl"),
    ("{} is not a valid date and time", "{} ist kein gültiger Zeitpunkt"),
    ("{} is not a valid date", "{} ist kein gültiges Datum"),
    ("{} is too long (maximum is {} characters)", "{} ist zu lang (höchstens {} Zeichen)"),
    ("{} is invalid", "{} ist nicht gültig"),
    ("{} can't be blank", "{} muss ausgefüllt werden"),
    ("{} can't be empty", "{} darf nicht leer sein"),
    ("{} can be at most {}", "{}: höchstens {} sind möglich"),
    ("{} can have only one primary", "{}: nur eine Angabe kann die wichtigste sein"),
    ("{} must be from 0 to 100", "{} muss zwischen 0 und 100 liegen"),
    ("{} must be less than or equal to {}", "{} darf höchstens {} sein"),
    ("{} should have one primary account", "{}: genau eine Firma muss die wichtigste sein"),
    ("{} has the same account twice", "{} nennt dieselbe Firma zweimal"),
    ("The type for {} is invalid.", "Der Typ von {} ist nicht gültig."),
    ("Invalid contact status provided.", "Ungültiger Kontaktstatus angegeben."),
    ("Invalid deal stage provided.", "Ungültige Phase angegeben."),
    ("Fill any one field: Emails or Mobile", "Eine Angabe wird gebraucht: E-Mail oder Mobiltelefon"),
    ("Record not found", "Datensatz nicht gefunden"),
    ("Not found", "Nicht gefunden"),
    ("Method not allowed", "Methode nicht erlaubt"),
    ("Max of {} transactions", "Höchstens {} Vorgänge"),
];

impl Language {
    /// A message without a translation stays English.
    pub(in crate::sandbox) fn translate(self, message: &str) -> String {
        match self {
            Self::English => message.to_owned(),
            Self::German => {
                let found = GERMAN.iter().find_map(|(english, german)| {
                    let values = values(english, message)?;
                    let mut values = values.into_iter();
                    let mut pieces = german.split("{}");
                    let first = pieces.next()?.to_owned();
                    Some(pieces.fold(first, |text, piece| text + values.next().unwrap_or_default() + piece))
                });
                found.unwrap_or_else(|| message.to_owned())
            }
        }
    }
}

/// The texts in a pattern's gaps, if the message has this pattern.
fn values<'a>(pattern: &str, message: &'a str) -> Option<Vec<&'a str>> {
    let mut pieces = pattern.split("{}");
    let mut rest = message.strip_prefix(pieces.next()?)?;
    let mut values = Vec::new();
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        // The last gap reaches as far as it can: a label may contain the words after it, as in "Is it is invalid".
        let at =
            if pieces.peek().is_none() { rest.len().checked_sub(piece.len())? } else { rest.find(piece)? };
        let (value, after) = rest.split_at_checked(at)?;
        values.push(value);
        rest = after.strip_prefix(piece)?;
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_translated_and_keeps_its_labels() {
        for (english, german) in [
            ("a@example.com already exists.", "a@example.com ist bereits vorhanden."),
            ("City is too long (maximum is 255 characters)", "City ist zu lang (höchstens 255 Zeichen)"),
            ("Not found", "Nicht gefunden"),
            ("Is it is invalid", "Is it ist nicht gültig"),
            ("Ünïcode is invalid", "Ünïcode ist nicht gültig"),
            ("Nobody wrote this one down", "Nobody wrote this one down"),
            ("", ""),
        ] {
            assert_eq!(Language::German.translate(english), german);
            assert_eq!(Language::English.translate(english), english);
        }
    }

    #[test]
    fn no_translation_has_more_gaps_than_its_pattern() {
        for (english, german) in GERMAN {
            assert_eq!(english.matches("{}").count(), german.matches("{}").count(), "{english}");
        }
    }
}
