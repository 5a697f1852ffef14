//! Counts of events as the commands print them.

use std::fmt::Write as _;

use crate::file_feed::Counts;

/// How many events ended how, one line each.
pub(in crate::cli) fn counts(counts: &Counts) -> String {
    let mut text = format!("{} read", events(counts.read));
    let delivered: u64 = counts.delivered.values().sum();
    let mut line = |args: std::fmt::Arguments<'_>| {
        let written = text.write_fmt(args);
        debug_assert!(written.is_ok(), "a string takes everything");
    };
    line(format_args!("\n  delivered      {delivered:>7}"));
    for (account, number) in &counts.delivered {
        line(format_args!("\n    {account:<22} {number:>7}"));
    }
    section(&mut line, "skipped", &counts.skipped);
    section(&mut line, "dead-lettered", &counts.dead_lettered);
    if counts.unsettled() > 0 {
        line(format_args!("\n  not settled    {:>7}", counts.unsettled()));
    }
    line(format_args!("\n"));
    text
}

fn section(
    line: &mut impl FnMut(std::fmt::Arguments<'_>),
    title: &str,
    numbers: &std::collections::BTreeMap<(String, &'static str), u64>,
) {
    let total: u64 = numbers.values().sum();
    line(format_args!("\n  {title:<14} {total:>7}"));
    for ((account, reason), number) in numbers {
        line(format_args!("\n    {account:<10} {reason:<24} {number:>7}"));
    }
}

/// "1 event", "2 events".
pub(in crate::cli) fn events(number: u64) -> String {
    counted(number, "event")
}

/// "1 line", "2 lines".
pub(in crate::cli) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
