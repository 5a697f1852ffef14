//! The Freshsales API over HTTP: its routes, the API key and the quota, faults, and the journal of requests.
//!
//! `routes` matches a request, `exchange` lets faults have their way with it, `api` answers it by calling `account`. Knows
//! nothing of the sandbox's own pages; `admin` and `server` call it.

pub(super) mod api;
pub(super) mod endpoint;
pub(super) mod exchange;
pub(super) mod fault_injection;
pub(super) mod journal;
pub(super) mod rate_limit;
pub(super) mod request;
pub(super) mod response;
pub(super) mod routes;
pub(super) mod served;
