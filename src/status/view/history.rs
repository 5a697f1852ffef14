//! The last hour of an account, minute by minute, as charts need it.

use jiff::Timestamp;

use super::chart::{Hour, MINUTES};
use crate::fleet::{LaneDetails, MinuteSample};

/// What a chart shows of a minute.
#[derive(Debug, Clone, Copy)]
pub(in crate::status) enum ChartSeries {
    Delivered,
    Waiting,
    QuotaLeft,
}

impl ChartSeries {
    fn of(self, sample: &MinuteSample) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "for a drawing")]
        let number = |number: u64| number as f64;
        match self {
            Self::Delivered => Some(number(sample.delivered)),
            Self::Waiting => sample.waiting.map(number),
            Self::QuotaLeft => sample.quota_left.map(number),
        }
    }

    /// A minute of which nothing was kept: nothing was delivered in it. Anything else is not known.
    fn without_sample(self) -> Option<f64> {
        match self {
            Self::Delivered => Some(0.0),
            Self::Waiting | Self::QuotaLeft => None,
        }
    }
}

/// The hour that ends at `now`. Minutes before `since` are not known: no process counted them.
pub(in crate::status) fn hour(
    details: &LaneDetails,
    series: ChartSeries,
    since: Timestamp,
    now: Timestamp,
) -> Hour {
    let last = now.as_second().div_euclid(60);
    let first_known = since.as_second().div_euclid(60);
    let mut hour: Hour = [None; MINUTES];
    for (value, age) in hour.iter_mut().rev().zip(0..) {
        let minute = last - age;
        let sample = details.history.iter().find(|sample| sample.minute == minute);
        *value = match sample {
            Some(sample) => series.of(sample),
            None if minute >= first_known => series.without_sample(),
            None => None,
        };
    }
    hour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_without_a_sample_are_empty_and_those_before_the_start_unknown() {
        let at = |minute: i64| Timestamp::from_second(minute * 60 + 30).unwrap();
        let sample =
            |minute| MinuteSample { minute, delivered: 4, waiting: Some(2), ..MinuteSample::default() };
        let details =
            LaneDetails { history: vec![sample(900), sample(998), sample(1000)], ..LaneDetails::default() };
        let delivered = hour(&details, ChartSeries::Delivered, at(997), at(1000));
        assert_eq!(delivered[54..], [None, None, Some(0.0), Some(4.0), Some(0.0), Some(4.0)]);
        assert_eq!(delivered[..54], [None; 54]);
        let waiting = hour(&details, ChartSeries::Waiting, at(997), at(1000));
        assert_eq!(waiting[56..], [None, Some(2.0), None, Some(2.0)]);
        assert_eq!(hour(&details, ChartSeries::QuotaLeft, at(0), at(1000)), [None; MINUTES]);
    }
}
