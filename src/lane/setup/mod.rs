//! What a lane is given: an account's settings, secrets and their changes. The commands hand them in; must not know
//! what the lane does with them.

pub(crate) mod applied;
pub(super) mod change;
pub(super) mod secrets;
pub(super) mod settings;
