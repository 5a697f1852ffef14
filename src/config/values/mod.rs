//! What several settings hold: addresses, durations, words to choose from, secrets.

pub(in crate::config) mod base_url;
pub(in crate::config) mod choices;
pub(in crate::config) mod duration;
pub(in crate::config) mod secret;
