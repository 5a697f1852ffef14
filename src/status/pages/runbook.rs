//! The runbook, as the documentation has it: what wants a person links to it, and at night the page may be all there is.

use std::sync::LazyLock;

use askama::Template;
use jiff::Timestamp;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Parser, Tag, TagEnd, html};

use super::frame::Frame;
use crate::status::view::words::slug;

#[derive(Template)]
#[template(path = "status/templates/runbook.html")]
struct RunbookPage {
    frame: Frame,
    runbook: &'static RenderedDocument,
}

/// A document as HTML, and its sections.
#[derive(Debug, Default)]
struct RenderedDocument {
    html: String,
    sections: Vec<RunbookSection>,
}

#[derive(Debug)]
struct RunbookSection {
    slug: String,
    title: String,
}

static RUNBOOK: LazyLock<RenderedDocument> =
    LazyLock::new(|| rendered(include_str!("../../../docs/RUNBOOK.md")));

pub(in crate::status) fn runbook(replica: &str, now: Timestamp) -> Result<String, askama::Error> {
    let frame = Frame::new(replica, now, "runbook", "api/status").still();
    RunbookPage { frame, runbook: &RUNBOOK }.render()
}

/// Markdown as HTML. Each heading has a name to link to. The document's own title is left out, because the page has it; a
/// link to another document, which is not served here, becomes that document's name.
fn rendered(text: &str) -> RenderedDocument {
    let mut document = RenderedDocument::default();
    let mut events = Vec::new();
    let mut parser = Parser::new(text).peekable();
    while let Some(event) = parser.next() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let heading: Vec<Event<'_>> = parser
                    .by_ref()
                    .take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))))
                    .collect();
                let title: String = heading.iter().filter_map(written).collect();
                if level == HeadingLevel::H1 {
                    continue;
                }
                let slug = slug(&title);
                events.push(Event::Start(Tag::Heading {
                    level,
                    id: Some(CowStr::from(slug.clone())),
                    classes: Vec::new(),
                    attrs: Vec::new(),
                }));
                events.extend(heading);
                events.push(Event::End(TagEnd::Heading(level)));
                document.sections.push(RunbookSection { slug, title });
            }
            Event::Start(Tag::Link { ref dest_url, .. }) if is_elsewhere_in_the_documentation(dest_url) => {
                let file =
                    dest_url.split('#').next().unwrap_or_default().trim_start_matches("../").to_owned();
                let inner: Vec<Event<'_>> =
                    parser.by_ref().take_while(|event| !matches!(event, Event::End(TagEnd::Link))).collect();
                let names_it = inner.iter().filter_map(written).collect::<String>() == file;
                if !names_it {
                    events.extend(inner);
                    events.push(Event::Text(" (".into()));
                }
                events.push(Event::Code(CowStr::from(file)));
                if !names_it {
                    events.push(Event::Text(")".into()));
                }
            }
            // The document is ours, and yet nothing of it is taken as markup.
            Event::Html(markup) | Event::InlineHtml(markup) => events.push(Event::Text(markup)),
            other @ (Event::Start(_)
            | Event::End(_)
            | Event::Text(_)
            | Event::Code(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_)) => events.push(other),
        }
    }
    html::push_html(&mut document.html, events.into_iter());
    document
}

/// The letters of a text or a piece of code.
fn written<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    if let Event::Text(text) | Event::Code(text) = event { Some(text) } else { None }
}

fn is_elsewhere_in_the_documentation(url: &str) -> bool {
    !url.starts_with('#') && !url.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_of_the_runbook_can_be_linked_to_and_every_link_within_it_leads_somewhere() {
        let titles: Vec<&str> = include_str!("../../../docs/RUNBOOK.md")
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect();
        assert_eq!(RUNBOOK.sections.iter().map(|section| &*section.title).collect::<Vec<_>>(), titles);
        for section in &RUNBOOK.sections {
            assert!(RUNBOOK.html.contains(&format!("<h2 id=\"{}\">", section.slug)), "{section:?}");
        }
        for link in RUNBOOK.html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let section = link.strip_prefix('#');
            let found =
                section.is_none_or(|slug| RUNBOOK.sections.iter().any(|section| section.slug == slug));
            assert!(found && (section.is_some() || link.starts_with("https://")), "{link}");
        }
        assert!(!RUNBOOK.html.contains("**") && !RUNBOOK.html.contains("\n1. "), "{}", RUNBOOK.html);
    }

    #[test]
    fn markdown_becomes_escaped_html_without_styles_and_without_links_to_what_is_not_served() {
        let text = "# Title\n\nIntro, see [there](METRICS.md#labels), [MAPPING.md](MAPPING.md) and [below](#a-b).\n\n\
                    ## A `b`\n\n1. one <script>alert(1)</script>\n   * *two*\n\n```sh\na < b\n```\n\n<b style=\"x\">no</b>\n";
        insta::assert_snapshot!(rendered(text).html, @r##"
        <p>Intro, see there (<code>METRICS.md</code>), <code>MAPPING.md</code> and <a href="#a-b">below</a>.</p>
        <h2 id="a-b">A <code>b</code></h2>
        <ol>
        <li>one &lt;script&gt;alert(1)&lt;/script&gt;
        <ul>
        <li><em>two</em></li>
        </ul>
        </li>
        </ol>
        <pre><code class="language-sh">a &lt; b
        </code></pre>
        <p>&lt;b style="x"&gt;no&lt;/b&gt;</p>
        "##);
    }
}
