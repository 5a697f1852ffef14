//! What the sandbox does with a request before and after the account answers it: faults, quota, journal, connection.

pub(super) mod endpoint;
pub(super) mod faults;
pub(super) mod journal;
pub(super) mod rate_limit;
pub(super) mod request;
pub(super) mod resettable_connection;
pub(super) mod response;
