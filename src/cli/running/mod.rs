//! What `run` and `demo` keep going: lanes, status pages, reloads, and a file's events. It knows no command.

pub(in crate::cli) mod engine;
pub(in crate::cli) mod feed;
pub(in crate::cli) mod reload;
pub(in crate::cli) mod running_lanes;
pub(in crate::cli) mod service_manager;
pub(in crate::cli) mod summary;
pub(in crate::cli) mod telling;
