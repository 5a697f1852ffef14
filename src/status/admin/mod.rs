//! What a person or a program with the admin token may do over HTTP: sign in, send dead letters back, stop that. Dropping
//! letters is left to the command line.
//!
//! A request that changes something must come from these pages or from no page at all, and with the token or the cookie of
//! somebody who had it. What it asks for is done by `letters`, on the daemon's runtime.

mod access;
mod api;
mod forms;
mod hosts;
mod order;
mod origin;
mod routes;
mod session;
mod throttle;

pub use access::AdminAccess;
pub(super) use routes::AdminRoutes;
