//! A choice's label as a range: one or two numbers, and words or signs around them. `ranges` asks.

/// Words that may stand beside a range without changing its numbers. Others do: "1-10 million".
const UNITS: [&str; 11] = [
    "employees",
    "employee",
    "people",
    "persons",
    "person",
    "users",
    "user",
    "members",
    "seats",
    "staff",
    "fte",
];

/// The number and all above it. The "+" of "10000+" means "more than" where the range before ends with 10000.
const AND_ABOVE_BEFORE: [&str; 3] = ["at least", ">=", "≥"];
const AND_ABOVE_BEHIND: [&str; 7] = ["+", "plus", "or more", "and more", "or above", "and above", "and over"];
/// All above the number, without it.
const ABOVE: [&str; 4] = [">", "more than", "over", "above"];
/// The number and all below it.
const UP_TO: [&str; 4] = ["up to", "at most", "<=", "≤"];
/// All below the number, without it.
const BELOW: [&str; 5] = ["<", "less than", "fewer than", "under", "below"];

/// The signs between groups of three digits.
const SEPARATORS: [char; 8] = [',', '.', '\'', '’', ' ', '\u{a0}', '\u{2009}', '\u{202f}'];

pub(super) fn numbered(label: &str) -> bool {
    label.chars().any(char::is_numeric)
}

/// A label with one or two numbers, and the text around them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label<'a> {
    before: &'a str,
    pub(super) first: u64,
    between: &'a str,
    second: Option<u64>,
    behind: &'a str,
}

impl<'a> Label<'a> {
    pub(super) fn parse(label: &'a str) -> Option<Self> {
        let (before, first, rest) = number(label)?;
        if !numbered(rest) {
            return Some(Self { before, first, between: "", second: None, behind: rest });
        }
        let (between, second, behind) = number(rest)?;
        (!numbered(behind)).then_some(Self { before, first, between, second: Some(second), behind })
    }

    /// The range by English words and signs, both ends included.
    pub(super) fn range(&self) -> Option<(u64, Option<u64>)> {
        let before = without_unit(self.before);
        let behind = without_unit(self.behind);
        let (before, behind) = (before.as_str(), behind.as_str());
        let first = self.first;
        match self.second {
            Some(second) => {
                let between = without_unit(self.between);
                let range = before.is_empty() && behind.is_empty() && (dash(&between) || between == "to");
                range.then_some((first, Some(second)))
            }
            None if before.is_empty() && behind.is_empty() => Some((first, Some(first))),
            None if before.is_empty() && AND_ABOVE_BEHIND.contains(&behind) => Some((first, None)),
            None if !behind.is_empty() => None,
            None if AND_ABOVE_BEFORE.contains(&before) => Some((first, None)),
            None if ABOVE.contains(&before) => Some((first.checked_add(1)?, None)),
            None if UP_TO.contains(&before) => Some((0, Some(first))),
            None if BELOW.contains(&before) => Some((0, Some(first.checked_sub(1)?))),
            None => None,
        }
    }

    /// The start of the range by the choice's id, if the id is one. Freshsales' own last range has the id 10001 and the
    /// label "10000+".
    pub(super) fn start(&self, id: Option<i64>) -> Option<u64> {
        let id = u64::try_from(id?).ok()?;
        let next = self.second.is_none() && self.first.checked_add(1) == Some(id);
        (id == self.first || next).then_some(id)
    }

    /// The range where the ids are starts. They confirm the numbers, so the words may be of any language.
    pub(super) fn range_from(&self, id: Option<i64>, highest: u64) -> Option<(u64, Option<u64>)> {
        let wordy = |text: &str| {
            text.chars().all(|c| c.is_alphabetic() || c.is_whitespace() || "()[]:>+".contains(c))
        };
        let between = wordy(self.between) || dash(self.between.trim());
        if !wordy(self.before) || !wordy(self.behind) || !between {
            return None;
        }
        let start = self.start(id)?;
        match self.second {
            Some(second) => Some((start, Some(second))),
            None if self.first == highest => Some((start, None)),
            None => Some((start, Some(start))),
        }
    }
}

/// The first number, the text before it, and the rest. `None` if there is no number, or one that is no count: a
/// fraction, one with leading zeros or in digits of another script, or one that is too large.
fn number(text: &str) -> Option<(&str, u64, &str)> {
    let start = text.find(char::is_numeric)?;
    let (before, text) = text.split_at_checked(start)?;
    let (group, mut rest) = digits(text);
    let mut whole = group.to_owned();
    let mut grouping = None;
    // Groups of three, all after the same sign: "1,000,000". Other digits after such a sign are a fraction.
    while (1..=3).contains(&group.len()) {
        let Some(separator) = rest.chars().next().filter(|next| SEPARATORS.contains(next)) else { break };
        let (thousand, behind) = digits(rest.strip_prefix(separator)?);
        if thousand.len() != 3 || grouping.is_some_and(|grouping| grouping != separator) {
            break;
        }
        grouping = Some(separator);
        whole.push_str(thousand);
        rest = behind;
    }
    let fraction = rest.strip_prefix([',', '.']).is_some_and(|behind| behind.starts_with(char::is_numeric));
    let count = (whole == "0" || !whole.starts_with('0')) && !fraction && !rest.starts_with(char::is_numeric);
    if count { Some((before, whole.parse().ok()?, rest)) } else { None }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// One hyphen, dash or tilde.
fn dash(text: &str) -> bool {
    let mut letters = text.chars();
    let first = letters.next();
    let is = |c| {
        matches!(c, '-' | '~' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{301c}' | '\u{ff0d}' | '\u{ff5e}')
    };
    first.is_some_and(is) && letters.next().is_none()
}

/// The text in lower case, without a unit at its start or end, and without blanks around it.
fn without_unit(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let unit = |word: Option<&&str>| word.is_some_and(|word| UNITS.contains(word));
    let words = match words.as_slice() {
        [rest @ .., _] if unit(words.last()) => rest,
        [_, rest @ ..] if unit(words.first()) => rest,
        all => all,
    };
    words.join(" ")
}
