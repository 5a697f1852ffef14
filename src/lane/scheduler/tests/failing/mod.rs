//! Answers that are not what was asked for: whose fault each is, what is tried, and that one record holds up no other.

mod against_the_lane;
mod nonsense;
pub(super) mod outage;
mod remedies;
pub(super) mod strangers;
