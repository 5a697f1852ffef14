//! What the commands about dead letters share: `dead-letters`, and `explain --dead-letters`.

pub(super) mod arguments;
pub(super) mod command;
pub(super) mod explaining;
pub(super) mod judging;
pub(super) mod told;
