//! The steps from an event to records or an activity. The mapper calls them, in its order; [`user`] is asked before it.
//! Must not know calls and budgets.

pub(super) mod activity;
pub(super) mod email;
pub(super) mod record;
pub(super) mod related;
pub(super) mod user;
