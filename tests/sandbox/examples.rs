//! The examples and the table that describes them.

use serde_json::Value;

#[test]
fn the_table_of_examples_covers_every_line_and_counts_them_rightly() {
    let (events, readme) =
        (include_str!("../../examples/events.ndjson"), include_str!("../../examples/README.md"));
    let mut next = 1;
    let mut outcomes = [("delivered", 0), ("skipped", 0), ("dead", 0)];
    for row in readme.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| lines")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (first, last) = cells[0].split_once('–').unwrap_or((cells[0], cells[0]));
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(first, next, "{row}");
        next = last + 1;
        let outcome = outcomes.iter_mut().find(|(word, _)| cells[2].starts_with(word));
        outcome.unwrap().1 += last + 1 - first;
    }
    assert_eq!(next - 1, events.lines().count());
    let [(_, delivered), (_, skipped), (_, dead)] = outcomes;
    let total = format!("{} lines: {delivered} delivered, {skipped} skipped, {dead} dead-lettered", next - 1);
    assert!(readme.contains(&total), "{total}");
    let unreadable = events.lines().filter(|line| serde_json::from_str::<Value>(line).is_err()).count();
    assert_eq!(unreadable, 1);
}
