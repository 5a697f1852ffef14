//! Rate limits of a gateway in front of Freshsales. Such a gateway counts calls by IP address, before it looks at keys: a
//! `Retry-After` that one account gets holds for every account of this process on that host.
//!
//! Lanes share this through atomics, so that none waits for another. It stops nothing by itself: lanes ask it before they
//! send.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Answer;
use super::limits::RateLimit;

/// A shorter wait concerns only the account that got it.
const SHORTEST_SHARED: Duration = Duration::from_mins(1);
/// One absurd answer to one account must not stop all others for longer.
const LONGEST_SHARED: Duration = Duration::from_mins(15);
/// How long an account's waits are not shared after calls got through following its last one: they are its own then.
const DISTRUST: Duration = Duration::from_hours(24);
/// After a wait accounts start one after another, this far apart, so as not to run into the limit together.
const STAGGER: Duration = Duration::from_millis(250);
const STAGGERED: u32 = 60;

/// How long the gateway asks all accounts on the host to wait: a 429 with a wait of minutes and without the headers of the
/// account's own limit comes from the gateway.
pub fn host_wide_wait(answer: &Answer) -> Option<Duration> {
    let from_gateway = answer.status == 429 && answer.rate_limit == RateLimit::default();
    answer.retry_after.filter(|wait| from_gateway && *wait >= SHORTEST_SHARED)
}

#[derive(Debug, Clone, Default)]
pub(in crate::freshsales) struct Gateways(Arc<Mutex<HashMap<String, HostAccounts>>>);

/// One host, and the number of its accounts.
#[derive(Debug)]
struct HostAccounts {
    host: Arc<Host>,
    accounts: u32,
}

impl Gateways {
    /// The view of one more account on the gateway of its host.
    pub(in crate::freshsales) fn for_account(&self, base_url: &str) -> Gateway {
        let url = url::Url::parse(base_url).ok();
        let host = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
        let host = host.map_or_else(|| base_url.to_owned(), |(host, port)| format!("{host}:{port}"));
        // Locked only while lanes are set up.
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let on_host =
            hosts.entry(host).or_insert_with(|| HostAccounts { host: Arc::new(Host::new()), accounts: 0 });
        let place = on_host.accounts % STAGGERED;
        on_host.accounts = on_host.accounts.wrapping_add(1);
        Gateway { host: on_host.host.clone(), reported: Arc::default(), place }
    }
}

/// One account's view of its host's gateway. Clones are the same account.
#[derive(Debug, Clone)]
pub struct Gateway {
    host: Arc<Host>,
    /// When the last wait ends that this account reported; 0 if it reported none.
    reported: Arc<AtomicU64>,
    place: u32,
}

/// Points in time are milliseconds since `began`, at least 1; 0 is never.
#[derive(Debug)]
struct Host {
    began: Instant,
    blocked_until: AtomicU64,
    /// When the gateway last let a call through.
    answered: AtomicU64,
}

impl Host {
    fn new() -> Self {
        Self { began: Instant::now(), blocked_until: AtomicU64::new(0), answered: AtomicU64::new(0) }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

impl Gateway {
    /// Reports a wait that the gateway asked for. Returns whether it makes all accounts on the host wait longer.
    pub fn block(&self, wait: Duration, now: Instant) -> bool {
        let reported = self.reported.load(Ordering::Relaxed);
        let refuted = reported > 0 && self.host.answered.load(Ordering::Relaxed) > reported;
        if refuted && self.host.millis(now) < reported.saturating_add(millis(DISTRUST)) {
            return false;
        }
        let until = self.host.millis(now + wait.min(LONGEST_SHARED));
        self.reported.store(until, Ordering::Relaxed);
        self.host.blocked_until.fetch_max(until, Ordering::Relaxed) < until
    }

    /// Reports that a call of this account got through.
    pub fn let_through(&self, now: Instant) {
        self.host.answered.fetch_max(self.host.millis(now), Ordering::Relaxed);
    }

    /// Until when this account sends nothing.
    pub fn blocked_until(&self, now: Instant) -> Option<Instant> {
        let until = self.host.blocked_until.load(Ordering::Relaxed);
        (until > self.host.millis(now))
            .then(|| self.host.began + Duration::from_millis(until) + STAGGER * self.place)
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
    fn only_a_gateway_s_own_wait_of_minutes_is_shared() {
        let answer = |status, seconds: Option<u64>, rate_limit| Answer {
            status,
            rate_limit,
            retry_after: seconds.map(Duration::from_secs),
            body: Body::Empty,
        };
        let none = RateLimit::default();
        assert_eq!(host_wide_wait(&answer(429, Some(300), none)), Some(MINUTES));
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
                host_wide_wait(&answer(status, seconds, rate_limit)),
                None,
                "{status} {seconds:?} {rate_limit:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_accounts_on_the_host_wait_and_no_others() {
        let gateways = Gateways::default();
        let here = gateways.for_account("https://acme.myfreshworks.com/crm/sales");
        let too = gateways.for_account("https://ACME.myfreshworks.com:443/crm/sales");
        let there = gateways.for_account("https://globex.myfreshworks.com/crm/sales");
        let now = Instant::now();
        assert!(here.block(MINUTES, now));
        assert_eq!(here.blocked_until(now), Some(now + MINUTES));
        assert_eq!(too.blocked_until(now), Some(now + MINUTES + STAGGER), "accounts start one after another");
        assert_eq!(there.blocked_until(now), None);
        // A call that was in flight gets a shorter wait, which shortens nothing.
        assert!(!too.block(Duration::from_mins(2), now));
        assert_eq!(here.blocked_until(now), Some(now + MINUTES));
        assert_eq!(here.blocked_until(now + MINUTES), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_account_s_answers_do_not_stop_others_for_long_or_again_and_again() {
        let gateways = Gateways::default();
        let [bad, good] = [(); 2].map(|()| gateways.for_account("http://127.0.0.1:1"));
        let mut now = Instant::now();
        assert!(bad.block(Duration::from_hours(24), now));
        assert_eq!(good.blocked_until(now).unwrap().duration_since(now), LONGEST_SHARED + STAGGER);
        now += LONGEST_SHARED + Duration::from_secs(1);
        // No call got through since, so the gateway may well mean it.
        assert!(bad.block(MINUTES, now));
        now += MINUTES + Duration::from_secs(1);
        good.let_through(now);
        for _ in 0..20 {
            assert!(!bad.block(LONGEST_SHARED, now));
            assert_eq!(good.blocked_until(now), None);
            now += LONGEST_SHARED;
        }
        // A wait that another account reports is still shared.
        assert!(good.block(MINUTES, now));
        assert!(bad.blocked_until(now).is_some());
        now += DISTRUST;
        assert!(bad.block(MINUTES, now));
    }
}
