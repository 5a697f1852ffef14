//! Days and times in text. A day stays the one that is written: no offset moves it to the day before or after.

use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;

use crate::mapping::Coercion;

/// The day of a date or date-time, as `YYYY-MM-DD`.
pub(in crate::mapping) fn day(text: &str, coercion: Coercion) -> Option<String> {
    let text = match coercion {
        Coercion::Strict => text,
        Coercion::Lossless => text.trim(),
    };
    let (day, time) = text.split_at_checked(10)?;
    // Six-digit years and dates without dashes are ISO 8601 too, but Freshsales does not take them.
    let shape = day.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if !shape || day.parse::<Date>().is_err() {
        return None;
    }
    match coercion {
        _ if time.is_empty() => Some(day.to_owned()),
        Coercion::Strict => None,
        Coercion::Lossless => {
            let timed = Pieces::parse(text).is_ok_and(|pieces| pieces.time().is_some());
            timed.then(|| day.to_owned())
        }
    }
}

/// A date or date-time, unchanged.
pub(in crate::mapping) fn day_or_time(text: &str) -> Option<String> {
    let text = text.trim();
    day(text, Coercion::Lossless).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_the_one_written() {
        let cases = [
            ("2024-02-29", Some("2024-02-29")),
            (" 2024-02-29\n", Some("2024-02-29")),
            ("2024-02-29T23:59:59-11:00", Some("2024-02-29")),
            ("2024-02-29T00:30:00.123456+14:00", Some("2024-02-29")),
            ("2024-02-29 10:00", Some("2024-02-29")),
            ("2024-02-29T10:00:00Z", Some("2024-02-29")),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("2024-02-29T25:00:00Z", None),
            ("2024-02-29x", None),
            ("2024-02-2", None),
            ("20240229", None),
            ("20240229T101010Z", None),
            ("29.02.2024", None),
            ("2024/02/29", None),
            ("1709164800", None),
            ("+002024-02-29", None),
            ("２０２４-02-29", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(day(text, Coercion::Lossless).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn strict_takes_a_bare_day_only() {
        assert_eq!(day("2024-02-29", Coercion::Strict).as_deref(), Some("2024-02-29"));
        for text in [" 2024-02-29", "2024-02-29T10:00:00Z", "2023-02-29"] {
            assert_eq!(day(text, Coercion::Strict), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_passed_as_written() {
        for text in ["2024-02-29T10:00:00+05:30", "2024-02-29", "2024-02-29T10:00:00Z"] {
            assert_eq!(day_or_time(text).as_deref(), Some(text));
        }
        assert_eq!(day_or_time("10:00"), None);
    }
}
