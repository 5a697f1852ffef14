//! Masks e-mail addresses and phone numbers in texts that Freshet did not write, such as Freshsales' messages, before
//! they appear on a page or in a dead letter. It does not look for people's names: no rule finds them. Whole words are
//! masked here. `telemetry` masks finished log lines, whose punctuation has a meaning of its own, with the same signs.

/// No phone number has fewer digits.
const FEWEST_PHONE_DIGITS: usize = 7;
/// The most digits of a phone number (E.164).
const MOST_PHONE_DIGITS: usize = 15;
/// So many digits or more, without any sign between or before them, are taken for the id of a record.
const ID_DIGITS: usize = 11;

/// The at sign as a URL writes it.
pub const ESCAPED_AT: &str = "%40";

/// Whether a character is an at sign. Mail programs take the wide and the small form for one, too.
pub fn is_at(c: char) -> bool {
    matches!(c, '@' | '＠' | '﹫')
}

/// The text with each e-mail address and phone number replaced by a word. Field names, status codes, dates and the
/// long ids of records stay: the reader needs them to find the record.
pub fn mask(text: &str) -> String {
    phones(&addresses(text))
}

/// Replaces every word that contains an at sign in any of its forms.
fn addresses(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(separates).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        let holds_one = token.contains(is_at) || token.contains(ESCAPED_AT);
        masked.push_str(if holds_one { "[e-mail]" } else { token });
        let next = after.chars().next().map_or(0, char::len_utf8);
        let (separator, after) = after.split_at(next);
        masked.push_str(separator);
        rest = after;
    }
    masked
}

/// Whether a character separates words and does not occur in an address as people write it.
fn separates(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '“' | '”' | '„'
        )
}

/// Replaces every run of digits and separators that is as long as a phone number.
fn phones(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        let run = run(rest);
        let number = rest.get(..run).unwrap_or_default();
        if number.is_empty() {
            masked.push(first);
            before = Some(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        // Digits directly after a letter or `_` belong to a name: `cf_1234567`.
        let named = before.is_some_and(|c: char| c.is_alphabetic() || c == '_');
        masked.push_str(if !named && is_phone(number) { "[phone]" } else { number });
        before = number.chars().last();
        rest = rest.get(run..).unwrap_or_default();
    }
    masked
}

/// The length in bytes of the run of digits and separators at the start of the text; zero if there is none.
fn run(text: &str) -> usize {
    let mut end = 0;
    let mut signs = 0;
    for (at, c) in text.char_indices() {
        if c.is_numeric() {
            end = at + c.len_utf8();
            signs = 0;
        } else if at == 0 && !matches!(c, '+' | '(') {
            return 0;
        } else if matches!(c, ' ' | '\u{a0}' | '-' | '‐' | '‑' | '–' | '.' | '(' | ')' | '/' | '+')
            && signs < 3
        {
            signs += 1;
        } else {
            break;
        }
    }
    end
}

fn is_phone(run: &str) -> bool {
    let digits = run.chars().filter(|c| c.is_numeric()).count();
    let in_one_piece = run.chars().all(char::is_numeric);
    if in_one_piece && digits >= ID_DIGITS {
        return false;
    }
    // A run with separators may be longer than any phone number: it may be several in a row.
    digits >= FEWEST_PHONE_DIGITS && (digits <= MOST_PHONE_DIGITS || !in_one_piece) && !is_date(run)
}

/// Whether the run is a date such as `2026-03-01`.
fn is_date(run: &str) -> bool {
    let parts: Vec<&str> = run.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    matches!(lengths[..], [4, 2, 2]) && parts.iter().all(|part| part.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_phone_numbers_are_masked_and_the_rest_stays() {
        for (text, expected) in [
            ("ada@example.com already exists.", "[e-mail] already exists."),
            ("'Ada.L+x@sub.example.co.uk' is not unique", "'[e-mail]' is not unique"),
            ("<mailto:ada@example.com>, bob@x", "<[e-mail]>, [e-mail]"),
            ("q=ada%40example.com&f=email", "[e-mail]"),
            ("ürsula@exämple.de", "[e-mail]"),
            ("ada＠example.com", "[e-mail]"),
            ("+1 (926) 555-9503 is taken", "[phone] is taken"),
            ("phone 926-555-9503.", "phone [phone]."),
            ("+19265559503", "[phone]"),
            ("5559503", "[phone]"),
            ("+000-00-00", "[phone]"),
            ("(0)30 1234567", "[phone]"),
            ("0041 44 668 18 00", "[phone]"),
            ("Name has already been taken", "Name has already been taken"),
            ("contact 402000049629 is gone", "contact 402000049629 is gone"),
            ("owner 70042006456", "owner 70042006456"),
            ("cf_1234567 is not a number", "cf_1234567 is not a number"),
            ("expected 2026-03-01 in cf_date", "expected 2026-03-01 in cf_date"),
            ("at most 255 characters, response_code :: 429", "at most 255 characters, response_code :: 429"),
            ("", ""),
        ] {
            assert_eq!(mask(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_address_survives(
            before in "\\PC{0,30}",
            local in "[A-Za-z0-9._%+-]{1,20}",
            domain in "[a-z0-9-]{1,10}\\.[a-z]{2,5}",
            after in "\\PC{0,30}",
        ) {
            let masked = mask(&format!("{before}{local}@{domain}{after}"));
            proptest::prop_assert!(!masked.contains('@'), "{masked}");
            let masked = mask(&format!("{before} {local}@{domain} {after}"));
            let beside = format!("{before} {after}");
            proptest::prop_assert!(beside.contains(&domain) || !masked.contains(&domain), "{masked}");
        }

        #[test]
        fn no_phone_number_survives(
            before in "[a-z ,:]{0,10}",
            plus in "\\+?",
            groups in proptest::collection::vec("[0-9]{2,4}", 3..5),
            sign in "[ .-]|\\) ",
            after in "[a-z ,:]{0,10}",
        ) {
            let number = format!("{plus}{}", groups.join(&sign));
            let digits: usize = groups.iter().map(String::len).sum();
            let date = matches!(groups.iter().map(String::len).collect::<Vec<_>>()[..], [4, 2, 2]) && sign == "-";
            proptest::prop_assume!((7..=15).contains(&digits) && !date);
            let masked = mask(&format!("{before} {number} {after}"));
            proptest::prop_assert!(!masked.chars().any(|c| c.is_ascii_digit()), "{number}: {masked}");
        }

        #[test]
        fn what_is_masked_once_stays_as_it_is(text in "\\PC{0,200}") {
            let once = mask(&text);
            proptest::prop_assert_eq!(mask(&once), once);
        }
    }
}
