//! How much of an account's quota is left, as a bar and in words.

use jiff::Timestamp;

use super::words::clock;
use crate::fleet::QuotaReport;
use crate::words::grouped;

/// How much of a budget of calls is left.
#[derive(Debug)]
pub(in crate::status) struct QuotaShown {
    pub(in crate::status) left: u64,
    pub(in crate::status) allowed: u64,
    pub(in crate::status) text: String,
    pub(in crate::status) refill: String,
}

pub(in crate::status) fn shown(quota: &QuotaReport, now: Timestamp) -> QuotaShown {
    let period = match quota.period_seconds {
        3600 => "an hour".to_owned(),
        60 => "a minute".to_owned(),
        other => format!("in {other} s"),
    };
    let refill = match quota.refills_at.filter(|refill| *refill > now) {
        Some(refill) => format!("next call {}", clock(refill)),
        None if quota.per_minute >= 1.0 => format!("refills {:.0} a minute", quota.per_minute),
        None => format!("refills {:.0} an hour", quota.per_minute * 60.0),
    };
    QuotaShown {
        left: quota.left.min(quota.allowed),
        allowed: quota.allowed.max(1),
        text: format!("{} of {} {period}", grouped(quota.left), grouped(quota.allowed)),
        refill,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::samples::at;

    #[test]
    fn a_quota_says_what_is_left_and_when_there_is_more() {
        let quota = QuotaReport {
            left: 0,
            at_once: 450,
            allowed: 1800,
            period_seconds: 3600,
            refills_at: Some(at(600)),
            per_minute: 30.0,
        };
        let words = |quota: &QuotaReport| shown(quota, at(0)).refill;
        assert_eq!(shown(&quota, at(0)).text, "0 of 1,800 an hour");
        assert_eq!(words(&quota), "next call 00:10 UTC");
        assert_eq!(words(&QuotaReport { refills_at: Some(at(-5)), ..quota.clone() }), "refills 30 a minute");
        assert_eq!(words(&QuotaReport { refills_at: None, per_minute: 0.5, ..quota }), "refills 30 an hour");
    }
}
