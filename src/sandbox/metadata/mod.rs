//! The account's field metadata and the lists behind its drop-downs. Knows no records and no HTTP.

pub(super) mod fields;
pub(super) mod selectors;
