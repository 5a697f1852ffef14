//! Hides e-mail addresses and phone numbers in texts that somebody else wrote, such as Freshsales' messages, before they
//! leave in a page or a dead letter. It does not look for names: no rule finds those. Words are masked whole here; a
//! log line, whose signs have a meaning of their own, is masked where lines are finished, by the same signs.

/// Fewer digits make no phone number.
const FEWEST_DIGITS: usize = 7;
/// More digits than the longest phone number has, E.164.
const MOST_DIGITS: usize = 15;
/// Digits in one piece, without a plus sign: from this many on they are taken for the id of a record.
const ID_DIGITS: usize = 11;

/// The sign in an address as a URL writes it.
pub const ESCAPED_AT: &str = "%40";

/// Whether a character is the sign in an e-mail address: also the wide and the small form, which people's mail
/// programs take for it.
pub fn is_at(c: char) -> bool {
    matches!(c, '@' | '＠' | '﹫')
}

/// The text with each e-mail address and each phone number replaced by a word. Field names, status codes, dates and
/// the long ids of records stay, because somebody has to find the record.
pub fn mask(text: &str) -> String {
    phones(&addresses(text))
}

/// Replaces every run of characters that holds an at sign, in any of the forms that survive in an address or an URL.
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

/// Whether a character stands between words, and never within an e-mail address as people write it.
fn separates(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '“' | '”' | '„'
        )
}

/// Replaces every run of digits, and of what stands between a phone number's digits, that is as long as such a number.
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
        // Digits that go on from a name or a word belong to it: `cf_1234567`.
        let named = before.is_some_and(|c: char| c.is_alphabetic() || c == '_');
        masked.push_str(if !named && is_phone(number) { "[phone]" } else { number });
        before = number.chars().last();
        rest = rest.get(run..).unwrap_or_default();
    }
    masked
}

/// The length in bytes of the run of digits that the text starts with, and of the signs between them.
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
    // Several numbers one after another may make a longer run than any one has.
    digits >= FEWEST_DIGITS && (digits <= MOST_DIGITS || !in_one_piece) && !is_date(run)
}

/// `2026-03-01`, and what may follow of a time.
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
