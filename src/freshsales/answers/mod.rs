//! What an answer means: taken, refused, limited, or not understood; and what its headers say of limits.

pub(in crate::freshsales) mod answer;
pub(in crate::freshsales) mod classify;
pub(in crate::freshsales) mod gateway;
pub(in crate::freshsales) mod limits;
pub(in crate::freshsales) mod messages;
pub(in crate::freshsales) mod verdict;
