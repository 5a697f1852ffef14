//! The pages' connections, routes, and the form of each answer. The room's head starts it. Must not know what a page says.

pub(super) mod connections;
pub(super) mod failures;
pub(super) mod handlers;
pub(super) mod headers;
pub(super) mod packed;
