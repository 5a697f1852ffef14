//! Whole numbers in JSON, in every form in which the API takes them.

use serde_json::{Number, Value};

/// 2^53 - 1. Above it, a double no longer tells neighbouring whole numbers apart.
pub(in crate::sandbox) const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

/// An id, as a number or as digits.
pub(in crate::sandbox) fn id(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => whole(number).and_then(|id| u64::try_from(id).ok()),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number written as `11`, `11.0` or `1.1e1`.
pub(in crate::sandbox) fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= MAX_WHOLE)?;
        format!("{float:.0}").parse().ok()
    })
}
