//! The account's field metadata, and the lists behind its drop-downs. The JSON files beside it are the built-in account.
//!
//! Knows neither records nor HTTP. `account` checks what is written against it; `admin` replaces it while the sandbox
//! runs.

pub(super) mod field_file;
pub(super) mod fields;
pub(super) mod numbers;
pub(super) mod selector_list;
pub(super) mod selectors;
