//! From one event's text to an [`Event`](super::Event): which type it is, whether the sender wants it delivered here,
//! and what is wrong with its own keys. What traits mean to an account is for `mapping`.

pub(super) mod decode;
pub(super) mod integrations;
mod keys;
mod placeholder;
pub(super) mod traits;
