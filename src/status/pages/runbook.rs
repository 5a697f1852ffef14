//! The runbook, as the documentation has it: what wants a person links to it, and at night the page may be all there is.

use std::sync::LazyLock;

use askama::Template;
use jiff::Timestamp;

use super::frame::Frame;
use crate::status::view::words::slug;

#[derive(Template)]
#[template(path = "status/templates/runbook.html")]
struct RunbookPage {
    frame: Frame,
    sections: &'static [RunbookSection],
}

#[derive(Debug)]
struct RunbookSection {
    slug: String,
    title: String,
    paragraphs: Vec<String>,
}

static SECTIONS: LazyLock<Vec<RunbookSection>> =
    LazyLock::new(|| sections(include_str!("../../../docs/RUNBOOK.md")));

pub(in crate::status) fn runbook(replica: &str, now: Timestamp) -> Result<String, askama::Error> {
    let frame = Frame::new(replica, now, "runbook", "api/status").still();
    RunbookPage { frame, sections: &SECTIONS }.render()
}

/// The sections of a document, each with its paragraphs as they are written.
fn sections(text: &str) -> Vec<RunbookSection> {
    let parts = text.split("\n## ").skip(1);
    let section = |part: &str| {
        let (title, body) = part.split_once('\n').unwrap_or((part, ""));
        let paragraphs = body.split("\n\n").map(|one| one.trim().to_owned()).filter(|one| !one.is_empty());
        RunbookSection { slug: slug(title), title: title.to_owned(), paragraphs: paragraphs.collect() }
    };
    parts.map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runbook_has_a_section_for_each_alert_and_none_is_empty() {
        assert!(SECTIONS.iter().any(|section| section.slug == "freshetlaneunauthorized"));
        assert!(SECTIONS.iter().all(|section| !section.paragraphs.is_empty()));
    }
}
