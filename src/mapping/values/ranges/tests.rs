use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The label of the choice whose range contains the count; `None` if the choices are no ranges or none contains it.
fn label<'a>(choices: &[(&'a str, Option<i64>)], count: u64) -> Option<&'a str> {
    let found = Ranges::of(&choices.iter().copied())?.find(count)?;
    Some(choices[found.place].0)
}

fn named<'a>(labels: &[&'a str]) -> Vec<(&'a str, Option<i64>)> {
    labels.iter().zip(402_000_100_001..).map(|(label, id)| (*label, Some(id))).collect()
}

fn is_ranges(choices: &[(&str, Option<i64>)]) -> bool {
    Ranges::of(&choices.iter().copied()).is_some()
}

/// As Freshsales answers them. The last label and its id differ by one.
const EMPLOYEES: [(&str, Option<i64>); 8] = [
    ("1-10", Some(1)),
    ("11-50", Some(11)),
    ("51-200", Some(51)),
    ("201-500", Some(201)),
    ("501-1000", Some(501)),
    ("1001-5000", Some(1001)),
    ("5001-10000", Some(5001)),
    ("10000+", Some(10_001)),
];

#[test]
fn a_count_is_in_its_range_at_both_ends_and_between() {
    for (count, expected) in [
        (0, None),
        (1, Some("1-10")),
        (10, Some("1-10")),
        (11, Some("11-50")),
        (329, Some("201-500")),
        (10_000, Some("5001-10000")),
        (10_001, Some("10000+")),
        (u64::MAX, Some("10000+")),
    ] {
        assert_eq!(label(&EMPLOYEES, count), expected, "{count}");
    }
}

#[test]
fn an_open_end_that_names_the_end_before_it_is_all_above() {
    let labels = named(&["10000+", "5001-10000"]);
    for (count, expected) in [(10_000, "5001-10000"), (10_001, "10000+")] {
        assert_eq!(label(&labels, count), Some(expected), "{count}");
    }
}

#[test]
fn ranges_are_read_in_many_notations() {
    for (written, inside, outside) in [
        ("51-200", vec![51, 200], vec![50, 201]),
        ("51–200", vec![51, 200], vec![50, 201]),
        ("51 — 200 employees", vec![51, 200], vec![50, 201]),
        ("51 ~ 200", vec![51, 200], vec![50, 201]),
        ("51 To 200 People", vec![51, 200], vec![50, 201]),
        ("Employees 51 to 200", vec![51, 200], vec![50, 201]),
        ("1,001-5,000", vec![1001, 5000], vec![1000, 5001]),
        ("1.001-5.000", vec![1001, 5000], vec![1000, 5001]),
        ("1\u{202f}001 - 5 000", vec![1001, 5000], vec![1000, 5001]),
        ("1’000’001+", vec![1_000_001], vec![1_000_000]),
        ("10,001+", vec![10_001, u64::MAX], vec![10_000]),
        ("10001 + employees", vec![10_001], vec![10_000]),
        ("10001 employees or more", vec![10_001], vec![10_000]),
        ("At least 10001", vec![10_001], vec![10_000]),
        ("> 10000", vec![10_001], vec![10_000]),
        ("more than 10 000 users", vec![10_001], vec![10_000]),
        ("15 users", vec![15], vec![14, 16]),
        ("0-9", vec![9], vec![10]),
    ] {
        let labels = named(&[written, "20-30"]);
        for count in inside {
            assert_eq!(label(&labels, count), Some(written), "{written}: {count}");
        }
        for count in outside {
            assert_eq!(label(&labels, count), None, "{written}: {count}");
        }
        assert_eq!(label(&labels, 25), Some("20-30"), "{written}");
    }
    for (low, last) in [("< 10", 9), ("Fewer than 10 people", 9), ("up to 10", 10), ("≤ 10", 10)] {
        let labels = named(&[low, "11-50"]);
        for count in [0, last] {
            assert_eq!(label(&labels, count), Some(low), "{low}: {count}");
        }
        assert_eq!(label(&labels, 11), Some("11-50"), "{low}");
        assert_eq!(label(&labels, 10), (last == 10).then_some(low), "{low}");
    }
}

#[test]
fn ids_that_are_starts_confirm_labels_in_any_language() {
    let german = [
        ("keine Angabe", Some(-1)),
        ("1 bis 10 Mitarbeiter", Some(1)),
        ("11 bis 1.000 Mitarbeiter", Some(11)),
        ("Mehr als 1.000 Mitarbeiter", Some(1001)),
    ];
    for (count, expected) in [(10, 1), (11, 2), (1000, 2), (1001, 3)] {
        assert_eq!(label(&german, count), Some(german[expected].0), "{count}");
    }
    // With other ids, the words may mean anything: "1 bis 10 Millionen".
    let unsure: Vec<_> = german.iter().map(|(label, id)| (*label, id.map(|id| id + 7000))).collect();
    assert!(!is_ranges(&unsure));
    // The label may name a size before its range.
    let sizes = [("One (1)", Some(1)), ("Small (2-10)", Some(2)), ("Large (11+)", Some(11))];
    for (count, expected) in [(1, "One (1)"), (2, "Small (2-10)"), (500, "Large (11+)")] {
        assert_eq!(label(&sizes, count), Some(expected), "{count}");
    }
}

#[test]
fn choices_without_a_number_do_no_harm_and_any_other_must_be_a_range() {
    assert_eq!(label(&named(&["", "--", "Unknown", "1-10", "11-50"]), 11), Some("11-50"));
    for labels in [
        vec![],
        vec!["1-10"],
        vec!["Hot", "Cold"],
        vec!["0", "1", "2", "3"],
        vec!["1-10", "10-50"],
        vec!["1-10", "5-50"],
        vec!["1-10", "1-10"],
        vec!["1+", "10+"],
        vec!["1-10", "50-11"],
        vec!["1-10", "11-50", "Plan 9"],
        vec!["1-10", "11-50", "51/200"],
        vec!["1-10 million", "11-50 million"],
        vec!["1k-5k", "6k-9k"],
        vec!["$1-$10", "$11-$50"],
        vec!["0%-10%", "11%-20%"],
        vec!["0.5-1.5", "2-3"],
        vec!["01-02", "03-04"],
        vec!["2024-01-05", "2024-02-05"],
        vec!["-5-10", "11-50"],
        vec!["1-10", "½-¾"],
        vec!["1-10", "11-99999999999999999999"],
        vec!["< 0", "1-10"],
        vec!["(GMT-05:00) Quito", "(GMT+01:00) Lisbon"],
    ] {
        assert!(!is_ranges(&named(&labels)), "{labels:?}");
    }
}

#[test]
fn a_count_is_a_whole_number_or_with_lossless_coercion_its_text() {
    for (value, lossless, strict) in [
        (json!(329), Some(329), Some(329)),
        (json!(329.0), Some(329), Some(329)),
        (json!(0), Some(0), Some(0)),
        (json!("329"), Some(329), None),
        (json!(" 3.29e2 "), Some(329), None),
        (json!(-5), None, None),
        (json!(0.5), None, None),
        (json!(1e300), None, None),
        (json!("007"), None, None),
        (json!("1,000"), None, None),
        (json!("11-50"), None, None),
        (json!(""), None, None),
        (json!(true), None, None),
        (json!([5]), None, None),
        (json!({}), None, None),
        (json!(null), None, None),
    ] {
        assert_eq!(count(&Given::from(&value), Coercion::Lossless), lossless, "{value}");
        assert_eq!(count(&Given::from(&value), Coercion::Strict), strict, "{value}");
    }
}

/// Ranges in any order, with gaps, single numbers, and perhaps a last one without an end, as (first, last, label).
fn any_ranges() -> impl Strategy<Value = Vec<(u64, Option<u64>, String)>> {
    let steps = prop::collection::vec((1..5000_u64, 1..5000_u64), 2..12);
    let dashes = prop::sample::select(vec!["-", " - ", "–", " to "]);
    (steps, any::<bool>(), dashes, any::<bool>()).prop_map(|(steps, open, dash, unit)| {
        let mut end = 0;
        let unit = if unit { " employees" } else { "" };
        let mut ranges: Vec<_> = steps
            .into_iter()
            .map(|(gap, width)| {
                let first = end + gap;
                end = first + width;
                (first, Some(end), format!("{first}{dash}{end}{unit}"))
            })
            .collect();
        if open {
            ranges.push((end + 1, None, format!("{}+{unit}", end + 1)));
        }
        ranges
    })
}

proptest! {
    #[test]
    fn any_count_is_in_the_right_one_of_any_ranges(
        ranges in any_ranges().prop_shuffle(),
        starts in any::<bool>(),
        counts in prop::collection::vec(0..70_000_u64, 8),
    ) {
        let id = |first: u64| if starts { i64::try_from(first).unwrap() } else { 402_000_000_000 - i64::try_from(first).unwrap() };
        let choices: Vec<_> =
            ranges.iter().map(|(first, _, label)| (label.as_str(), Some(id(*first)))).collect();
        let edges = ranges.iter().flat_map(|(first, last, _)| [first - 1, *first, last.unwrap_or(u64::MAX)]);
        for count in counts.into_iter().chain(edges) {
            let right = ranges.iter().find(|(first, last, _)| {
                *first <= count && last.is_none_or(|last| count <= last)
            });
            prop_assert_eq!(label(&choices, count), right.map(|(_, _, label)| label.as_str()), "{}", count);
        }
    }

    #[test]
    fn any_choices_are_read_without_a_panic_and_a_choice_that_is_found_is_one_of_them(
        choices in prop::collection::vec(
            (prop_oneof!["[0-9]{0,3}[-–+,. <>]{0,2}[0-9]{0,21}[a-z+ ]{0,3}", ".{0,8}"], any::<Option<i64>>()),
            0..6,
        ),
        count in any::<u64>(),
    ) {
        let choices: Vec<_> = choices.iter().map(|(label, id)| (label.as_str(), *id)).collect();
        if let Some(ranges) = Ranges::of(&choices.iter().copied()) {
            prop_assert!(ranges.find(count).is_none_or(|found| found.place < choices.len()));
        }
    }
}
