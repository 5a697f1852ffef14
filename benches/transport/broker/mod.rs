//! The transport's pure parts, which the library keeps to itself.

pub(crate) mod transport;
