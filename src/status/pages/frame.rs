//! What stands around every page.

use jiff::Timestamp;

use crate::status::assets;
use crate::status::view::words::TimeShown;

/// What stands around every page.
#[derive(Debug)]
pub(in crate::status) struct Frame {
    /// The way from this page to the root: `./`, `../` and so on. So the pages work behind any prefix.
    pub(super) root: String,
    pub(super) css: &'static str,
    pub(super) js: &'static str,
    /// It is refreshed while it is looked at.
    pub(super) live: bool,
    /// This page's own address, from where it is.
    pub(super) here: String,
    pub(super) replica: String,
    pub(super) version: &'static str,
    pub(super) at: String,
    /// The same as JSON, from the root.
    pub(super) json: String,
}

impl Frame {
    /// For a page at the root's own level. `here` is its name with its query, `json` the address of the same as JSON.
    pub(in crate::status) fn new(replica: &str, now: Timestamp, here: &str, json: &str) -> Self {
        Self {
            root: "./".to_owned(),
            css: &assets::STYLE.path,
            js: &assets::SCRIPT.path,
            live: true,
            here: if here.is_empty() { "./".to_owned() } else { here.to_owned() },
            replica: replica.to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            at: TimeShown::exact(now),
            json: json.to_owned(),
        }
    }

    /// For a page so many levels below the root.
    pub(in crate::status) fn below(self, levels: usize) -> Self {
        let root = if levels == 0 { self.root } else { "../".repeat(levels) };
        Self { root, ..self }
    }

    /// For a page that says the same at any time.
    pub(in crate::status) fn still(self) -> Self {
        Self { live: false, ..self }
    }
}
