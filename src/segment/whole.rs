//! Whole numbers in any form: languages without integers send `12345.0` and `1e5`. No float is built, which would
//! change digits. Decoding calls it for `userId`, mapping for text fields and counts.

/// The digits of a JSON number that is whole. `None` if it is a fraction or has more than `most` digits.
pub(crate) fn whole(number: &str, most: usize) -> Option<String> {
    let (sign, unsigned) = number.strip_prefix('-').map_or(("", number), |unsigned| ("-", unsigned));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{integer}{fraction}");
    let significant = digits.trim_start_matches('0');
    let leading = digits.len() - significant.len();
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    // A number whose exponent does not fit has too many digits or is a fraction.
    let exponent: i64 = exponent.parse().ok()?;
    let before_point = i64::try_from(integer.len()).ok()?.checked_add(exponent)?;
    let length = usize::try_from(before_point.checked_sub(i64::try_from(leading).ok()?)?).ok()?;
    if length < significant.len() || length > most {
        return None;
    }
    Some(format!("{sign}{significant}{}", "0".repeat(length - significant.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_whole_numbers_have_digits_of_their_own() {
        for (number, digits) in [
            ("12345.0", Some("12345")),
            ("1e5", Some("100000")),
            ("1E+5", Some("100000")),
            ("1.25e2", Some("125")),
            ("1200e-2", Some("12")),
            ("90071992547409931.0", Some("90071992547409931")),
            ("-7.00", Some("-7")),
            ("0", Some("0")),
            ("-0", Some("0")),
            ("0.0e999999999999999999999", Some("0")),
            ("14155552671", Some("14155552671")),
            ("1e254", Some(&*format!("1{}", "0".repeat(254)))),
            ("1e255", None),
            ("1e400", None),
            ("1e99999999999999999999", None),
            ("1e9223372036854775807", None),
            ("1e-9223372036854775808", None),
            ("1.5", None),
            ("0.1", None),
            ("0.001e2", None),
            ("0.001e3", Some("1")),
            ("15e-1", None),
        ] {
            assert_eq!(whole(number, 255).as_deref(), digits, "{number}");
        }
    }

    proptest! {
        #[test]
        fn the_digits_are_the_numbers(
            number in 1..i64::MAX, zeros in 0..6_usize, shift in 0..12_usize, negative in any::<bool>(),
        ) {
            let sign = if negative { "-" } else { "" };
            let digits = format!("{sign}{number}");
            let padded = format!("{number}{}", "0".repeat(shift));
            prop_assert_eq!(whole(&format!("{digits}.{}", "0".repeat(zeros + 1)), 255), Some(digits.clone()));
            prop_assert_eq!(whole(&format!("{sign}{padded}e-{shift}"), 255), Some(digits.clone()));
            prop_assert_eq!(whole(&format!("{digits}e{shift}"), 255), Some(format!("{sign}{padded}")));
            prop_assert_eq!(whole(&format!("{digits}.5"), 255), None);
        }
    }
}
