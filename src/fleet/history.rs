//! What happened to an account's events in each of the last 120 minutes, in bounded memory: about a hundred bytes for a
//! minute in which something happened, none for others, so 13 KiB for an account that is always busy. Pure.

use std::collections::VecDeque;

use super::details::MinuteSample;
use super::report::HourCounts;
use crate::metrics::{AccountCounts, Metrics};
use crate::outcome::{DeadLetterReason, SkipReason};

/// As many as a history has minutes.
const HOUR_MINUTES: i64 = 60;
/// The last hour, and the one before.
const KEPT: i64 = 2 * HOUR_MINUTES;
const PERCENTILE: f64 = 0.95;

#[derive(Debug, Default)]
pub(super) struct AccountHistory {
    minutes: VecDeque<KeptMinute>,
    /// What was counted when it was last looked at.
    seen: AccountCounts,
}

#[derive(Debug, Default, PartialEq)]
struct KeptMinute {
    minute: i64,
    waiting: Option<u32>,
    quota_left: Option<u32>,
    received: u32,
    delivered: u32,
    /// Events by the place of their reason: those of skipped events first.
    reasons: Box<[(u8, u32)]>,
    /// Settled events by bucket.
    buckets: Box<[(u8, u32)]>,
}

/// What there is at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Level {
    pub(super) waiting: Option<u64>,
    pub(super) quota_left: Option<u64>,
}

impl AccountHistory {
    /// Takes what was counted so far, in this minute since 1970.
    pub(super) fn look(&mut self, minute: i64, counts: &AccountCounts, level: Level) {
        while self.minutes.front().is_some_and(|first| first.minute <= minute - KEPT) {
            self.minutes.pop_front();
        }
        let before = std::mem::replace(&mut self.seen, counts.clone());
        let since = |now: u64, before: u64| {
            // A counter that fell began anew.
            u32::try_from(if now < before { now } else { now - before }).unwrap_or(u32::MAX)
        };
        let received = since(counts.received, before.received);
        let delivered = since(counts.delivered, before.delivered);
        let reasons: Vec<u32> =
            reasons(counts).zip(reasons(&before)).map(|(now, before)| since(now, before)).collect();
        let earlier = before.buckets.iter().chain(std::iter::repeat(&0));
        let buckets: Vec<u32> =
            counts.buckets.iter().zip(earlier).map(|(now, before)| since(*now, *before)).collect();
        let quiet =
            received == 0 && delivered == 0 && reasons.iter().chain(&buckets).all(|events| *events == 0);
        let is_last = self.minutes.back().is_some_and(|last| last.minute == minute);
        if quiet && !is_last && level.waiting.unwrap_or_default() == 0 {
            return;
        }
        // The clock may have been set back: minutes stay in order.
        let minute = self.minutes.back().map_or(minute, |last| last.minute.max(minute));
        if !is_last && self.minutes.back().is_none_or(|last| last.minute < minute) {
            self.minutes.push_back(KeptMinute { minute, ..KeptMinute::default() });
        }
        if let Some(last) = self.minutes.back_mut() {
            last.received = last.received.saturating_add(received);
            last.delivered = last.delivered.saturating_add(delivered);
            last.reasons = added(&last.reasons, &reasons);
            last.buckets = added(&last.buckets, &buckets);
            let small = |level: u64| u32::try_from(level).unwrap_or(u32::MAX);
            last.waiting = level.waiting.map(small);
            last.quota_left = level.quota_left.map(small);
        }
    }

    /// Whether something happened in the last hour.
    pub(super) fn is_recent(&self, minute: i64) -> bool {
        self.minutes.back().is_some_and(|last| last.minute > minute - HOUR_MINUTES)
    }

    /// What happened in the last hour, and in the one before.
    pub(super) fn hours(&self, minute: i64) -> (HourCounts, HourCounts) {
        let start = minute - HOUR_MINUTES;
        (
            self.sum(|sampled| sampled > start),
            self.sum(|sampled| sampled <= start && sampled > start - HOUR_MINUTES),
        )
    }

    fn sum(&self, within: impl Fn(i64) -> bool) -> HourCounts {
        let mut counts = HourCounts::default();
        for minute in self.minutes.iter().filter(|minute| within(minute.minute)) {
            counts.received += u64::from(minute.received);
            counts.delivered += u64::from(minute.delivered);
            for (place, events) in &minute.reasons {
                let (skipped, word) = word(usize::from(*place));
                let by_reason = if skipped { &mut counts.skipped } else { &mut counts.dead_lettered };
                *by_reason.entry(word.to_owned()).or_default() += u64::from(*events);
            }
        }
        counts
    }

    /// The last hour by the minute, oldest first.
    pub(super) fn samples(&self, minute: i64) -> Vec<MinuteSample> {
        let recent = self.minutes.iter().filter(|sampled| sampled.minute > minute - HOUR_MINUTES);
        let sample = |sampled: &KeptMinute| {
            let of = |skipped| {
                let reasons =
                    sampled.reasons.iter().filter(|(place, _)| word(usize::from(*place)).0 == skipped);
                reasons.map(|(_, events)| u64::from(*events)).sum()
            };
            MinuteSample {
                minute: sampled.minute,
                waiting: sampled.waiting.map(u64::from),
                delivered: u64::from(sampled.delivered),
                skipped: of(true),
                dead_lettered: of(false),
                quota_left: sampled.quota_left.map(u64::from),
                p95_seconds: percentile(sampled.buckets.iter().copied()),
            }
        };
        recent.map(sample).collect()
    }

    /// Of the last hour: 95 of 100 events were settled within so many seconds.
    pub(super) fn p95(&self, minute: i64) -> Option<f64> {
        let recent = self.minutes.iter().filter(|sampled| sampled.minute > minute - HOUR_MINUTES);
        percentile(recent.flat_map(|sampled| sampled.buckets.iter().copied()))
    }
}

/// All reasons' counts, those of skipped events first.
fn reasons(counts: &AccountCounts) -> impl Iterator<Item = u64> {
    counts.skipped.iter().chain(&counts.dead_lettered).copied()
}

/// Whether the reason at this place is one for skipping, and its word.
pub(super) fn word(place: usize) -> (bool, &'static str) {
    if let Some(reason) = SkipReason::ALL.get(place) {
        return (true, reason.as_str());
    }
    let reason = DeadLetterReason::ALL.get(place - SkipReason::ALL.len());
    (false, reason.map_or("", |reason| reason.as_str()))
}

/// The sum of both; places without events are left out.
fn added(before: &[(u8, u32)], new: &[u32]) -> Box<[(u8, u32)]> {
    let mut sums: Vec<u32> = new.to_vec();
    for (place, events) in before {
        let place = usize::from(*place);
        if place >= sums.len() {
            sums.resize(place + 1, 0);
        }
        if let Some(sum) = sums.get_mut(place) {
            *sum = sum.saturating_add(*events);
        }
    }
    (0..).zip(sums).filter(|(_, events)| *events > 0).collect()
}

/// As Prometheus' `histogram_quantile` has it: within a bucket events are taken to be spread evenly.
fn percentile(buckets: impl Iterator<Item = (u8, u32)>) -> Option<f64> {
    let bounds = Metrics::DELIVERY_BOUNDS;
    let mut sums = vec![0.0; bounds.len() + 1];
    for (place, events) in buckets {
        if let Some(sum) = sums.get_mut(usize::from(place)) {
            *sum += f64::from(events);
        }
    }
    let wanted = sums.iter().sum::<f64>() * PERCENTILE;
    let (mut below, mut lower) = (0.0, 0.0);
    for (events, upper) in sums.iter().zip(bounds) {
        if *events > 0.0 && below + events >= wanted {
            return Some(lower + (upper - lower) * (wanted - below) / events);
        }
        (below, lower) = (below + events, *upper);
    }
    // Longer than the last bound.
    bounds.last().copied().filter(|_| wanted > 0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::details::HISTORY;

    fn counts(delivered: u64, dead: u64) -> AccountCounts {
        let mut counts = AccountCounts { received: delivered + dead, delivered, ..AccountCounts::default() };
        counts.dead_lettered[1] = dead;
        counts.buckets = vec![0; Metrics::DELIVERY_BOUNDS.len() + 1];
        counts.buckets[4] = delivered;
        counts
    }

    proptest! {
        #[test]
        fn hours_are_what_a_list_of_all_looks_gives(
            looks in prop::collection::vec((0..40_i64, 0..5_u64, 0..3_u64), 1..60)
        ) {
            let (mut history, mut all) = (AccountHistory::default(), Vec::new());
            let (mut minute, mut delivered, mut dead) = (1000, 0, 0);
            for (pause, more, letters) in looks {
                minute += pause;
                delivered += more;
                dead += letters;
                all.push((minute, more, letters));
                history.look(minute, &counts(delivered, dead), Level::default());
                let within = |from: i64, to: i64| {
                    let some = all.iter().filter(|(at, ..)| (from..to).contains(at));
                    some.fold((0, 0), |sum, (_, more, letters)| (sum.0 + more, sum.1 + letters))
                };
                let (hour, before) = history.hours(minute);
                for (counted, expected) in [(&hour, within(minute - 59, minute + 1)), (&before, within(minute - 119, minute - 59))] {
                    prop_assert_eq!((counted.delivered, counted.dead_lettered_in_all()), expected);
                    prop_assert_eq!(counted.received, expected.0 + expected.1);
                }
                let samples = history.samples(minute);
                prop_assert!(samples.len() <= HISTORY && samples.is_sorted_by_key(|sample| sample.minute));
                prop_assert_eq!(samples.iter().map(|sample| sample.delivered).sum::<u64>(), hour.delivered);
                prop_assert_eq!(history.is_recent(minute), !samples.is_empty());
                prop_assert_eq!(history.p95(minute).is_some(), hour.delivered > 0);
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_levels_are_those_at_the_end_of_a_minute() {
        let mut history = AccountHistory::default();
        for minute in 0..1000 {
            for part in 0..12 {
                let number = u64::try_from(minute * 12 + part).unwrap();
                let level = Level { waiting: Some(number), quota_left: Some(5) };
                history.look(minute, &counts(number, 0), level);
            }
        }
        assert_eq!(history.minutes.len(), 120);
        let bytes: usize = history
            .minutes
            .iter()
            .map(|minute| size_of_val(minute) + size_of_val(&*minute.reasons) + size_of_val(&*minute.buckets))
            .sum();
        assert!(bytes < 13 * 1024, "{bytes}");
        let samples = history.samples(999);
        assert_eq!(samples.len(), 60);
        assert_eq!((samples[59].waiting, samples[59].delivered), (Some(999 * 12 + 11), 12));
    }

    #[test]
    fn a_counter_that_begins_anew_and_a_clock_that_is_set_back_count_no_event_twice() {
        let mut history = AccountHistory::default();
        history.look(100, &counts(7, 0), Level::default());
        history.look(101, &counts(2, 0), Level::default());
        history.look(40, &counts(3, 0), Level::default());
        assert_eq!(history.hours(101).0.delivered, 10);
        assert!(history.minutes.iter().is_sorted_by_key(|minute| minute.minute));
    }

    #[test]
    fn the_percentile_is_within_its_bucket() {
        assert_eq!(percentile(std::iter::empty()), None);
        // Bounds: 0.5, 1.0; half of the events in each.
        let p95 = percentile([(3, 50), (4, 50)].into_iter()).unwrap();
        assert!((p95 - 0.95).abs() < 1e-9, "{p95}");
        assert_eq!(percentile([(200, 1)].into_iter()), None);
        assert_eq!(percentile([(15, 1)].into_iter()), Some(86400.0));
    }
}
