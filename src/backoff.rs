//! Delays between attempts: they double, vary at random, and never end. The only user of the `backoff` crate.
//!
//! `backoff` varies them by a generator that cannot be seeded, so they are varied here: a test that calls `fastrand::seed`
//! repeats.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use tokio::time::Instant;

/// How much longer or shorter a delay may be.
const VARIES_BY: f64 = 0.33;

/// A sequence of growing delays.
#[derive(Debug)]
pub struct Delays {
    inner: ExponentialBackoff,
    longest: Duration,
}

impl Delays {
    /// From about `first`, doubling up to about `longest`, each plus or minus a third, so that replicas do not retry
    /// together.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let mut inner = ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            multiplier: 2.0,
            randomization_factor: 0.0,
            max_interval: longest,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        inner.reset();
        Self { inner, longest }
    }

    #[expect(missing_docs, reason = "its name says it")]
    pub fn following(&mut self) -> Duration {
        let delay = self.inner.next_backoff().unwrap_or(self.longest);
        delay.mul_f64(1.0 + VARIES_BY * (2.0 * fastrand::f64() - 1.0))
    }

    /// Starts again at the first delay, as after a success.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

/// Waits until `time`; for ever if there is none.
pub async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest_and_never_end() {
        let mut delays = Delays::new(Duration::from_secs(1), Duration::from_mins(1));
        let taken: Vec<_> = (0..1000).map(|_| delays.following()).collect();
        assert!(taken[0] >= Duration::from_millis(669) && taken[0] <= Duration::from_millis(1331));
        assert!(taken[1] > Duration::from_millis(1300));
        for delay in &taken[10..] {
            assert!(*delay >= Duration::from_secs(40) && *delay <= Duration::from_secs(80), "{delay:?}");
        }
        assert!(
            taken[10..].iter().any(|delay| *delay != taken[999]),
            "without jitter replicas retry together"
        );
        delays.reset();
        assert!(delays.following() < Duration::from_secs(2));
    }

    #[test]
    fn delays_repeat_where_a_test_seeds_them() {
        let taken = |seed| {
            fastrand::seed(seed);
            let mut delays = Delays::new(Duration::from_secs(1), Duration::from_mins(1));
            (0..5).map(|_| delays.following()).collect::<Vec<_>>()
        };
        assert_eq!(taken(1), taken(1));
        assert_ne!(taken(1), taken(2));
    }
}
