//! What commands read and print: files of events, tables, exit statuses. It knows no command.

pub(in crate::cli) mod exit_status;
pub(in crate::cli) mod files;
pub(in crate::cli) mod malformed_lines;
pub(in crate::cli) mod new_file;
pub(in crate::cli) mod output;
pub(in crate::cli) mod table;
pub(in crate::cli) mod whole_output;
