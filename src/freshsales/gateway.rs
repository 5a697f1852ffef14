//! How long a gateway before Freshsales asks to stay away. Such a gateway limits by the address that calls come from, and
//! before it looks at keys: what it answers to one account holds for every account of this process on that host.
//!
//! Lanes share this without a lock, so none ever waits for another. It sends nothing and stops nothing by itself: lanes look
//! at it before they send.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Answer;
use super::limits::RateLimit;

/// A shorter wait is left to the account that was told.
const SHORTEST: Duration = Duration::from_mins(1);
/// Other accounts wait no longer than this, whatever one was told.
const LONGEST: Duration = Duration::from_mins(15);
/// For so long an account is not believed again, if calls got through after the wait it had brought about.
const DISTRUST: Duration = Duration::from_hours(24);
/// When a wait is over, accounts begin one after another, so far apart.
const APART: Duration = Duration::from_millis(250);
const PLACES: u32 = 60;

/// How long the gateway before the host asks everybody to stay away, if it is the gateway that speaks: too many calls, a
/// wait of minutes, and nothing about the account's own limit.
pub fn asked(answer: &Answer) -> Option<Duration> {
    let speaks = answer.status == 429 && answer.rate_limit == RateLimit::default();
    answer.retry_after.filter(|wait| speaks && *wait >= SHORTEST)
}

/// The gateways of all hosts.
#[derive(Debug, Clone, Default)]
pub(super) struct Gateways(Arc<Mutex<HashMap<String, Shared>>>);

/// One host, and the number of its accounts.
#[derive(Debug)]
struct Shared {
    host: Arc<Host>,
    accounts: u32,
}

impl Gateways {
    /// The gateway of the host that this address names, for one account more.
    pub(super) fn before(&self, base_url: &str) -> Gateway {
        let url = url::Url::parse(base_url).ok();
        let host = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
        let host = host.map_or_else(|| base_url.to_owned(), |(host, port)| format!("{host}:{port}"));
        // Only while lanes are set up.
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = hosts.entry(host).or_insert_with(|| Shared { host: Arc::new(Host::new()), accounts: 0 });
        let place = shared.accounts % PLACES;
        shared.accounts = shared.accounts.wrapping_add(1);
        Gateway { host: shared.host.clone(), mine: Arc::default(), place }
    }
}

/// One account's view of the gateway before its host. Clones are the same account.
#[derive(Debug, Clone)]
pub struct Gateway {
    host: Arc<Host>,
    /// The end of the last wait that this account brought about; 0 if it has brought about none.
    mine: Arc<AtomicU64>,
    place: u32,
}

/// Points in time are milliseconds since `began`, at least 1.
#[derive(Debug)]
struct Host {
    began: Instant,
    closed_until: AtomicU64,
    /// When a call last got through.
    passed: AtomicU64,
}

impl Host {
    fn new() -> Self {
        Self { began: Instant::now(), closed_until: AtomicU64::new(0), passed: AtomicU64::new(0) }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

impl Gateway {
    /// The gateway asked this account to stay away for so long. True if all accounts on the host do.
    pub fn close(&self, wait: Duration, now: Instant) -> bool {
        let mine = self.mine.load(Ordering::Relaxed);
        let refuted = mine > 0 && self.host.passed.load(Ordering::Relaxed) > mine;
        if refuted && self.host.millis(now) < mine.saturating_add(millis(DISTRUST)) {
            return false;
        }
        let until = self.host.millis(now + wait.min(LONGEST));
        self.mine.store(until, Ordering::Relaxed);
        self.host.closed_until.fetch_max(until, Ordering::Relaxed) < until
    }

    /// A call of this account got through.
    pub fn pass(&self, now: Instant) {
        self.host.passed.fetch_max(self.host.millis(now), Ordering::Relaxed);
    }

    /// Until when this account stays away; none if it need not.
    pub fn closed_until(&self, now: Instant) -> Option<Instant> {
        let until = self.host.closed_until.load(Ordering::Relaxed);
        (until > self.host.millis(now))
            .then(|| self.host.began + Duration::from_millis(until) + APART * self.place)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshsales::Body;

    const MINUTES: Duration = Duration::from_mins(5);

    #[test]
    fn only_a_gateway_s_own_wait_of_minutes_is_everybody_s() {
        let answer = |status, seconds: Option<u64>, rate_limit| Answer {
            status,
            rate_limit,
            retry_after: seconds.map(Duration::from_secs),
            body: Body::Empty,
        };
        let none = RateLimit::default();
        assert_eq!(asked(&answer(429, Some(300), none)), Some(MINUTES));
        for (status, seconds, rate_limit) in [
            (429, Some(59), none),
            (429, None, none),
            (503, Some(300), none),
            (200, Some(300), none),
            (429, Some(300), RateLimit { remaining: Some(0), ..none }),
            (429, Some(300), RateLimit { limit: Some(1000), ..none }),
            (429, Some(300), RateLimit { reset: Some(MINUTES), ..none }),
        ] {
            assert_eq!(
                asked(&answer(status, seconds, rate_limit)),
                None,
                "{status} {seconds:?} {rate_limit:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_accounts_on_the_host_hear_it_and_no_other_does() {
        let gateways = Gateways::default();
        let here = gateways.before("https://acme.myfreshworks.com/crm/sales");
        let too = gateways.before("https://ACME.myfreshworks.com:443/crm/sales");
        let there = gateways.before("https://globex.myfreshworks.com/crm/sales");
        let now = Instant::now();
        assert!(here.close(MINUTES, now));
        assert_eq!(here.closed_until(now), Some(now + MINUTES));
        assert_eq!(too.closed_until(now), Some(now + MINUTES + APART), "they begin one after another");
        assert_eq!(there.closed_until(now), None);
        // What was under way is told less, and shortens nothing.
        assert!(!too.close(Duration::from_mins(2), now));
        assert_eq!(here.closed_until(now), Some(now + MINUTES));
        assert_eq!(here.closed_until(now + MINUTES), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_word_of_one_account_stops_others_for_long_or_time_and_again() {
        let gateways = Gateways::default();
        let [bad, good] = [(); 2].map(|()| gateways.before("http://127.0.0.1:1"));
        let mut now = Instant::now();
        assert!(bad.close(Duration::from_hours(24), now));
        assert_eq!(good.closed_until(now).unwrap().duration_since(now), LONGEST + APART);
        now += LONGEST + Duration::from_secs(1);
        // Nobody got through since: the gateway may well mean it.
        assert!(bad.close(MINUTES, now));
        now += MINUTES + Duration::from_secs(1);
        good.pass(now);
        for _ in 0..20 {
            assert!(!bad.close(LONGEST, now));
            assert_eq!(good.closed_until(now), None);
            now += LONGEST;
        }
        // The others find out by themselves, and all hear of that.
        assert!(good.close(MINUTES, now));
        assert!(bad.closed_until(now).is_some());
        now += DISTRUST;
        assert!(bad.close(MINUTES, now));
    }
}
