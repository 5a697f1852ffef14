//! Looks at a broker without changing it: what it has declared, what a user may do, which queues may lose messages. For the
//! commands, the page's dead letters, and once at the start. Must not consume from the intake or a lane.

pub(super) mod first_node;
pub(super) mod inspect;
pub(super) mod survey;
