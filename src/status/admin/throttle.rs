//! Holds back who tries tokens. It is counted by address, and few addresses are remembered: a token is far too long to be
//! found by trying from many.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

/// Wrong tokens of one address within a [`WINDOW`].
const MOST_FAILURES: u32 = 5;
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses that are remembered, those that failed last.
const REMEMBERED_ADDRESSES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Wrong tokens by address.
#[derive(Debug)]
pub(super) struct FailedAttempts(Mutex<LruCache<IpAddr, AddressFailures>>);

#[derive(Debug, Clone, Copy)]
struct AddressFailures {
    count: u32,
    /// Until then they count.
    until: Instant,
}

impl Default for FailedAttempts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_ADDRESSES)))
    }
}

impl FailedAttempts {
    /// How long this address must wait before it may try again, if it must. Then even the right token is not looked at.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = known.get(&network(address)).copied()?;
        let wait = failures.until.saturating_duration_since(now);
        (failures.count >= MOST_FAILURES && !wait.is_zero()).then_some(wait)
    }

    /// A wrong token came.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || AddressFailures { count: 0, until: now + WINDOW };
        let failures = known.get_or_insert_mut(network(address), fresh);
        if failures.until <= now {
            *failures = fresh();
        }
        failures.count = failures.count.saturating_add(1);
    }
}

/// One machine has many addresses of version 6: those that differ in the last 64 bits are taken for one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn five_wrong_tokens_in_a_minute_close_the_door_to_that_address_alone() {
        let attempts = FailedAttempts::default();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let began = Instant::now();
        for second in 0..5 {
            let now = began + Duration::from_secs(second * 10);
            assert_eq!(attempts.wait(one, now), None, "{second}");
            attempts.failed(one, now);
        }
        let now = began + Duration::from_secs(50);
        assert_eq!(attempts.wait(one, now), Some(Duration::from_secs(10)));
        assert_eq!(attempts.wait("::ffff:192.0.2.1".parse().unwrap(), now), Some(Duration::from_secs(10)));
        assert_eq!(attempts.wait(other, now), None);
        let later = began + WINDOW;
        assert_eq!(attempts.wait(one, later), None);
        attempts.failed(one, later);
        assert_eq!(attempts.wait(one, later), None, "it is counted anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_version_six_counts_as_one_address_and_few_are_remembered() {
        let attempts = FailedAttempts::default();
        let now = Instant::now();
        for number in 0..5_u32 {
            attempts.failed(format!("2001:db8::{number}").parse().unwrap(), now);
        }
        assert!(attempts.wait("2001:db8::ffff".parse().unwrap(), now).is_some());
        assert!(attempts.wait("2001:db8:0:1::".parse().unwrap(), now).is_none());
        let memory = allocation_counter::measure(|| {
            for number in 0..100_000_u32 {
                attempts.failed(std::net::Ipv4Addr::from_bits(number).into(), now);
            }
        });
        assert!(memory.bytes_current < 1024 * 256, "{memory:?}");
    }
}
