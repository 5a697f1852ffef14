//! How much of an account's quota is left, as a bar and in words.

use jiff::Timestamp;

use super::words::clock;
use crate::fleet::QuotaReport;
use crate::words::grouped;

/// How much of a budget of calls is left.
#[derive(Debug)]
pub(in crate::status) struct QuotaShown {
    /// Calls that could go at once.
    pub(in crate::status) left: u64,
    /// As many as ever can.
    pub(in crate::status) at_once: u64,
    pub(in crate::status) text: String,
    /// How many go in the long run, and when the next one, if none may now.
    pub(in crate::status) pace: String,
}

pub(in crate::status) fn shown(quota: &QuotaReport, now: Timestamp) -> QuotaShown {
    let period = match quota.period_seconds {
        3600 => "an hour".to_owned(),
        60 => "a minute".to_owned(),
        other => format!("in {other} s"),
    };
    let allowed = format!("{} {period}", grouped(quota.allowed));
    // An older replica does not tell how many can go at once.
    let at_once = if quota.at_once == 0 { quota.allowed } else { quota.at_once };
    QuotaShown {
        left: quota.left.min(at_once),
        at_once: at_once.max(1),
        text: format!("{} of {} at once", grouped(quota.left), grouped(at_once)),
        pace: match quota.refills_at.filter(|refill| *refill > now) {
            Some(refill) => format!("next {}; {allowed}", clock(refill)),
            None => allowed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::samples::at;

    #[test]
    fn a_quota_says_what_may_go_now_and_in_the_long_run() {
        let quota = QuotaReport {
            left: 0,
            at_once: 450,
            allowed: 1800,
            period_seconds: 3600,
            refills_at: Some(at(600)),
            per_minute: 30.0,
        };
        let words = |quota: &QuotaReport| {
            let QuotaShown { text, pace, .. } = shown(quota, at(0));
            format!("{text}, {pace}")
        };
        assert_eq!(words(&quota), "0 of 450 at once, next 00:10 UTC; 1,800 an hour");
        let later = QuotaReport { left: 7, refills_at: Some(at(-5)), ..quota.clone() };
        assert_eq!(words(&later), "7 of 450 at once, 1,800 an hour");
        let of_an_older_replica = QuotaReport { at_once: 0, left: 7, refills_at: None, ..quota };
        assert_eq!(words(&of_an_older_replica), "7 of 1,800 at once, 1,800 an hour");
    }
}
