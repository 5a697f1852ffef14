//! Numbers and lists in words.

use std::fmt::Display;

/// The most names that one message lists.
const LISTED: usize = 5;

/// What to do about what was not tried for the want of something else.
pub(super) const AGAIN: &str = "mend that first, then check again";

/// `a, b, c and 4 more`.
pub(super) fn listed<T: Display>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(LISTED).map(ToString::to_string).collect();
    match items.len().saturating_sub(LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{counted, grouped};

    #[test]
    fn numbers_and_lists_read_as_people_write_them() {
        assert_eq!(counted(1, "event", "events"), "1 event");
        assert_eq!(counted(0, "event", "events"), "0 events");
        for (number, expected) in
            [(999, "999"), (1000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(listed(&["a", "b"]), "a, b");
        assert_eq!(listed(&[1, 2, 3, 4, 5, 6, 7]), "1, 2, 3, 4, 5 and 2 more");
    }
}
