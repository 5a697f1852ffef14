//! Asserts that work grows with its input and not with the square of it. Only tests see it.
//!
//! What is counted are allocations and their bytes, not time: a test must not depend on how fast a machine is. Where
//! work that allocates nothing might grow with the square, the input is so large that it would not come to an end.

use allocation_counter::{AllocationInfo, measure};

/// Four times the input may cost so many times as much: what grows with the square costs sixteen times as much.
const FACTOR: u64 = 5;
/// What may be allocated whatever the input, in number and in bytes.
const BASE: (u64, u64) = (500, 256 * 1024);

/// Measures the work on inputs of 256 KiB and of 1 MiB.
pub(crate) fn stays_linear<I>(what: &str, input: impl Fn(usize) -> I, work: impl Fn(&I)) {
    let cost = |bytes: usize| {
        let input = input(bytes);
        measure(|| work(&input))
    };
    let (small, large) = (cost(256 * 1024), cost(1024 * 1024));
    let count = large.count_total <= small.count_total * FACTOR + BASE.0;
    let bytes = large.bytes_total <= small.bytes_total * FACTOR + BASE.1;
    assert!(count && bytes, "{what}: from {small:?} to {large:?}");
}

pub(crate) fn allocated(work: impl FnOnce()) -> AllocationInfo {
    measure(work)
}

/// `open`, as many items as there is room for in so many bytes, each different by its number, and `close`.
pub(crate) fn filled(bytes: usize, open: &str, item: impl Fn(usize) -> String, close: &str) -> String {
    let mut text = open.to_owned();
    for number in 0.. {
        let item = item(number);
        if text.len() + item.len() + close.len() + 1 > bytes {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text.push_str(&item);
    }
    text.push_str(close);
    text
}
