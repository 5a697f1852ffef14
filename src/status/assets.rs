//! The style sheet and the script of the pages. Their names hold a digest of what is in them, so that a browser may keep
//! them for ever.

use std::sync::LazyLock;

use siphasher::sip::SipHasher13;

/// A file that pages refer to.
#[derive(Debug)]
pub(super) struct Asset {
    /// From the pages' root.
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) text: &'static str,
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| asset("css", "text/css; charset=utf-8", include_str!("assets/page.css")));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| asset("js", "text/javascript; charset=utf-8", include_str!("assets/page.js")));

fn asset(extension: &str, content_type: &'static str, text: &'static str) -> Asset {
    let digest = SipHasher13::new().hash(text.as_bytes());
    Asset { path: format!("assets/page.{digest:016x}.{extension}"), content_type, text }
}

/// The file of this path from the root.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    [&*STYLE, &*SCRIPT].into_iter().find(|asset| asset.path == path)
}

/// A page as it would be with files of any content.
#[cfg(test)]
pub(super) fn without_digests(page: &str) -> String {
    page.replace(&STYLE.path, "assets/page.css").replace(&SCRIPT.path, "assets/page.js")
}
