//! JSON strings: where they end, what they say, and how they are written.

use std::borrow::Cow;

/// The text of a JSON string; `None` of any other value. It borrows from a string without escapes.
pub fn string(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim_ascii();
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    // Of a text that may be no JSON, a control character is for the parser to refuse.
    if next_in_string(inner.as_bytes(), 0) < inner.len() {
        return serde_json::from_str::<String>(value).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// The text of a JSON string with escapes; empty if there are wrong ones.
pub(crate) fn unescaped(quoted: &str) -> String {
    serde_json::from_str(quoted).unwrap_or_default()
}

/// The index after the string whose quote is at this index.
pub(crate) fn end_of_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    loop {
        at = next_in_string(bytes, at);
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The index of the first byte, from `at` on, that is a quote, a backslash or a control character; the length if there is
/// none. Most of any body is within strings, so eight bytes are looked at in one step.
pub(crate) fn next_in_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = marked(u64::from_le_bytes(*eight));
        if found != 0 {
            return at + usize::try_from(found.trailing_zeros() / 8).unwrap_or_default();
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let special = |byte: &u8| matches!(byte, ..b' ' | b'"' | b'\\');
    rest.iter().position(special).map_or(bytes.len(), |step| at + step)
}

/// The upper bit of each of eight bytes that is a quote, a backslash or a control character. Bits above the first of them
/// mean nothing: subtracting may borrow.
const fn marked(eight: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    const UPPER_BITS: u64 = ONES * 0x80;
    let quotes = eight ^ (ONES * b'"' as u64);
    let backslashes = eight ^ (ONES * b'\\' as u64);
    let below_blank = eight.wrapping_sub(ONES * b' ' as u64) & !eight;
    let zero_in_quotes = quotes.wrapping_sub(ONES) & !quotes;
    let zero_in_backslashes = backslashes.wrapping_sub(ONES) & !backslashes;
    (below_blank | zero_in_quotes | zero_in_backslashes) & UPPER_BITS
}

/// A text as a JSON string, with its quotes.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    write_quoted(&mut quoted, text);
    quoted
}

/// Adds a text as a JSON string.
pub fn write_quoted(out: &mut String, text: &str) {
    if next_in_string(text.as_bytes(), 0) < text.len() {
        // Serialising a string cannot fail.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_ends_plain_text_is_found_wherever_it_stands(
            bytes in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\')], 0..40),
            plain in prop::collection::vec(prop_oneof![b' '..b'"', b'#'..b'\\', b']'..=0xFF], 0..40),
        ) {
            for bytes in [&bytes[..], &[plain.clone(), bytes.clone()].concat(), &plain] {
                for at in 0..bytes.len() + 2 {
                    let special = |at: &usize| bytes[*at] < b' ' || matches!(bytes[*at], b'"' | b'\\');
                    let expected = (at..bytes.len()).find(special).unwrap_or(bytes.len());
                    prop_assert_eq!(next_in_string(bytes, at), expected, "{:?} from {}", bytes, at);
                }
            }
        }
    }
}
