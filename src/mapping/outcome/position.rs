//! Where in an event a trait stands, and its path. Problems are reported in the order of positions.

use std::borrow::Cow;

/// A trait's position among the contact's, then its position inside the company or the deal.
pub(in crate::mapping) type At = (usize, usize);

/// Before every trait: a problem with the e-mail address is the event's reason whatever else is wrong.
pub(in crate::mapping) const FIRST: At = (0, 0);

/// After every trait.
pub(in crate::mapping) const LAST: At = (usize::MAX, 0);

/// The longest trait path that is reported, in characters; the sender may write one of any length.
const PATH_LIMIT: usize = 120;

/// The record whose traits are read: the contact, or what stands inside its `company` or `deal`.
#[derive(Debug, Clone, Copy)]
pub(in crate::mapping) struct Scope {
    prefix: &'static str,
    /// The position of `company` or `deal` among the contact's traits.
    position: Option<usize>,
}

impl Scope {
    pub(in crate::mapping) const CONTACT: Self = Self { prefix: "", position: None };

    /// `position` is that of `company` or `deal` among the contact's traits.
    pub(in crate::mapping) const fn inside(prefix: &'static str, position: usize) -> Self {
        Self { prefix, position: Some(position) }
    }

    pub(in crate::mapping) fn at(self, position: usize) -> At {
        match self.position {
            Some(outer) => (outer.saturating_add(1), position),
            None => (position.saturating_add(1), 0),
        }
    }

    /// After every trait of the record.
    pub(in crate::mapping) fn end(self) -> At {
        self.at(usize::MAX)
    }

    pub(in crate::mapping) fn path(self, key: &str) -> String {
        bounded(format!("{}{key}", self.prefix))
    }
}

/// A trait's path before anybody asks for it: most are never told.
#[derive(Debug, Clone)]
pub(in crate::mapping) struct TraitPath<'a> {
    pub(in crate::mapping) scope: Scope,
    pub(in crate::mapping) key: Cow<'a, str>,
    /// The key inside the trait.
    pub(in crate::mapping) part: Option<Cow<'a, str>>,
}

impl<'a> TraitPath<'a> {
    pub(in crate::mapping) fn of(scope: Scope, key: Cow<'a, str>) -> Self {
        Self { scope, key, part: None }
    }

    /// As it is reported.
    pub(in crate::mapping) fn text(&self) -> String {
        match &self.part {
            None => self.scope.path(&self.key),
            Some(part) => self.scope.path(&format!("{}.{part}", self.key)),
        }
    }
}

/// The path, cut where it is too long to be reported.
pub(in crate::mapping) fn bounded(path: String) -> String {
    match path.char_indices().nth(PATH_LIMIT) {
        Some((end, _)) => format!("{}…", path.get(..end).unwrap_or_default()),
        None => path,
    }
}
