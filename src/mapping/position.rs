//! Where in an event a trait stands, and what its path is called. Problems are reported in this order.

/// Where in the event something stands: the trait's position, then the position inside it.
pub(super) type At = (usize, usize);

/// Before every trait: the e-mail address decides first.
pub(super) const FIRST: At = (0, 0);

/// After every trait.
pub(super) const LAST: At = (usize::MAX, 0);

/// The longest trait path that is told; a path is the sender's text and may be of any length.
const PATH_LIMIT: usize = 120;

/// Where in the event the traits of one record stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// What precedes a trait's name in its path: nothing, `company.` or `deal.`.
    pub(super) prefix: &'static str,
    /// The position of `company` or `deal` among the contact's traits.
    pub(super) position: Option<usize>,
}

impl Scope {
    pub(super) fn at(self, position: usize) -> At {
        match self.position {
            Some(outer) => (outer.saturating_add(1), position),
            None => (position.saturating_add(1), 0),
        }
    }

    pub(super) fn path(self, key: &str) -> String {
        bounded(format!("{}{key}", self.prefix))
    }
}

/// A path in the length in which it may be told.
pub(super) fn bounded(path: String) -> String {
    match path.char_indices().nth(PATH_LIMIT) {
        Some((end, _)) => format!("{}…", path.get(..end).unwrap_or_default()),
        None => path,
    }
}
