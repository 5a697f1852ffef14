//! Reads a TOML file: its keys, where each stands, and every mistake with its line. Knows no setting.

pub(in crate::config) mod problem;
pub(in crate::config) mod reader;
pub(in crate::config) mod shown_line;
pub(in crate::config) mod source;
pub(in crate::config) mod written;
