//! What the pages say, made of what is known of the fleet. Pure: nothing here waits, reads a clock or knows HTTP.

pub(super) mod chart;
pub(super) mod concern;
pub(super) mod headline;
pub(super) mod history;
pub(super) mod list;
pub(super) mod quota;
pub(super) mod reasons;
pub(super) mod snapshot;
pub(super) mod words;
