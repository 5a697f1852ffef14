//! The scheduler, driven without a clock or a socket: a test plays the runner and Freshsales. [`by_hand`] answers calls
//! one by one, and [`prelude`] is what most tests use. Every plan is compared with the plain [`walk`].

mod by_hand;
mod failing;
mod prelude;
mod random;
mod records;
mod together;
pub(super) mod walk;
