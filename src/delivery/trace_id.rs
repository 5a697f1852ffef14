//! The trace that an event belongs to, as its message's `traceparent` header names it (W3C Trace Context). For log
//! lines only.

use std::fmt;
use std::num::NonZeroU128;

pub(crate) const TRACEPARENT: &str = "traceparent";

/// Shown as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(NonZeroU128);

impl TraceId {
    /// `None` for a header that the standard tells receivers to ignore.
    ///
    /// `<version>-<trace>-<parent>-<flags>` in lower-case hexadecimal digits. Versions after 00 may have more behind that.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.splitn(5, '-');
        let version = digits(parts.next()?, 2)?;
        let trace = digits(parts.next()?, 32)?;
        let parent = digits(parts.next()?, 16)?;
        digits(parts.next()?, 2)?;
        let more = parts.next().is_some();
        let known = version < 0xff && (version > 0 || !more) && parent > 0;
        NonZeroU128::new(trace).filter(|_| known).map(Self)
    }
}

fn digits(text: &str, length: usize) -> Option<u128> {
    let lower_case = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() == length && lower_case { u128::from_str_radix(text, 16).ok() } else { None }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_valid_header_names_its_trace() {
        for header in [
            format!("00-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-00"),
            format!("cc-{TRACE}-b7ad6b7169203331-01"),
            format!("cc-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be-like"),
        ] {
            let trace_id = TraceId::from_traceparent(&header).unwrap_or_else(|| panic!("{header}"));
            assert_eq!(trace_id.to_string(), TRACE);
        }
    }

    #[test]
    fn any_other_header_is_ignored() {
        for header in [
            String::new(),
            "00".to_owned(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            format!("00-{TRACE}-b7ad6b7169203331-01-"),
            format!("00-{TRACE}-b7ad6b7169203331"),
            format!("00-{TRACE}-b7ad6b7169203331-1"),
            format!("0-{TRACE}-b7ad6b7169203331-01"),
            format!("cc-{TRACE}-b7ad6b7169203331-01.more"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", &TRACE[1..]),
            format!("00-{TRACE}0-b7ad6b7169203331-01"),
            format!("00-+{}-b7ad6b7169203331-01", &TRACE[1..]),
            format!(" 00-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-01\n"),
            format!("00-{TRACE}-é7ad6b716920333-01"),
        ] {
            assert_eq!(TraceId::from_traceparent(&header), None, "{header:?}");
        }
    }
}
