//! JSON objects and arrays as text: their parts are read in place, and objects are put together, without building
//! values.
//!
//! A JSON value in memory takes up to a hundred times its text, and events are held by the hundred. Parts that are
//! passed on unread stay text, and so their digits, escapes and order stay as the sender wrote them. Callers have
//! checked that a text is JSON, but for the walk over a body, which finds strings while it checks; of any other text fewer
//! parts are found, and nothing panics.

mod parts;
mod strings;
mod writer;

use bytes::Bytes;

pub use parts::{Elements, Member, Members, elements, find, members};
pub(crate) use strings::{end_of_string, next_in_string, unescaped};
pub use strings::{quoted, string, write_quoted};
pub use writer::ObjectWriter;

/// The text of one JSON object. Cheap to clone: it usually shares the body it is a part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectText(Bytes);

impl ObjectText {
    /// `text` is a part of `body`, whose bytes are shared.
    pub fn part_of(body: &Bytes, text: &str) -> Self {
        Self(body.slice_ref(text.as_bytes()))
    }

    /// The text with its braces.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for ObjectText {
    fn default() -> Self {
        Self(Bytes::from_static(b"{}"))
    }
}

impl From<String> for ObjectText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}
