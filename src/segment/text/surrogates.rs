//! Lone surrogates in JSON text: languages whose strings are UTF-16 may cut an emoji in two and write `\ud83d` alone.
//! Our parser and Freshsales' refuse such text, so each lone surrogate becomes U+FFFD before a body is read. A dead
//! letter carries the body as it was sent. Decoding, the glimpse and unwrapping call it.

use std::borrow::Cow;

/// U+FFFD. As long as the escape it replaces, so that the positions in errors stay right.
const REPLACEMENT: &[u8; ESCAPE] = b"\\ufffd";

/// The length of `\uXXXX`.
const ESCAPE: usize = 6;

/// The body with every lone surrogate replaced. It need not be JSON: a backslash is taken for an escape anywhere, and
/// in JSON it stands in strings only.
pub(in crate::segment) fn mended(body: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = Cow::Borrowed(body);
    if !body.contains(&b'\\') {
        return mended;
    }
    let mut at = 0;
    while let Some(escape) = body.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += escape;
        let Some(unit) = unit(body, at) else {
            at += 2;
            continue;
        };
        let high = (0xD800..0xDC00).contains(&unit);
        let low = |unit: u32| (0xDC00..0xE000).contains(&unit);
        if high && self::unit(body, at + ESCAPE).is_some_and(low) {
            at += 2 * ESCAPE;
            continue;
        }
        if (high || low(unit))
            && let Some(lone) = mended.to_mut().get_mut(at..at + ESCAPE)
        {
            lone.copy_from_slice(REPLACEMENT);
        }
        at += ESCAPE;
    }
    mended
}

/// The UTF-16 unit of the escape at this index, if there is one.
fn unit(body: &[u8], at: usize) -> Option<u32> {
    let digits = body.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_stay() {
        for (text, expected) in [
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""x\uD83D""#, r#""x\ufffd""#),
            (r#""\udc00\ud800""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d\n\ude00""#, r#""\ufffd\n\ufffd""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\\ud800\u00e9""#, r#""\\ud800\u00e9""#),
            (r#""\\\ud800""#, r#""\\\ufffd""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r"\", r"\"),
            (r"\ud8zz", r"\ud8zz"),
        ] {
            assert_eq!(mended(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_of_escapes_can_be_read_afterwards(
            units in prop::collection::vec(
                prop_oneof![Just(0xD800_u32), Just(0xDBFF), Just(0xDC00), Just(0xDFFF), Just(0x41), Just(0x5C)], 0..8,
            ),
        ) {
            let escapes: String = units.iter().flat_map(|unit| [r"\u".to_owned(), format!("{unit:04x}")]).collect();
            let text = format!("{{\"{escapes}\":\"{escapes}\"}}");
            let mended = mended(text.as_bytes());
            prop_assert_eq!(mended.len(), text.len());
            let read: Value = serde_json::from_slice(&mended).unwrap();
            let units: Vec<u16> = units.iter().map(|unit| u16::try_from(*unit).unwrap()).collect();
            let lossy = String::from_utf16_lossy(&units);
            prop_assert_eq!(&read[&lossy], &Value::String(lossy.clone()));
        }

        #[test]
        fn no_bytes_make_it_panic_or_change_length(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(mended(&bytes).len(), bytes.len());
        }
    }
}
