//! What one account says to mapping: its rules, and what its fields ask for and lack. The mapper asks for each event, `check`
//! and the lane's notes when fields are read. Must not know any event.

pub(super) mod changes;
pub(super) mod defaults;
pub(super) mod review;
pub(super) mod rules;
