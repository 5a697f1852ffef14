//! What one account says to mapping: its rules, and what its fields ask for and lack. The mapper follows the rules at
//! each event; `check` and the lane's schema refresh ask the rest when fields were read. Must not know any event.

pub(super) mod changes;
pub(super) mod defaults;
pub(super) mod review;
pub(super) mod rules;
