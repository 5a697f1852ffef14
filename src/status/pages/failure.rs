//! The page in the place of one that is not there, may not be had, or could not be made.

use askama::Template;
use jiff::Timestamp;

use super::frame::Frame;

#[derive(Template)]
#[template(path = "status/templates/failure.html")]
struct FailurePage<'a> {
    frame: Frame,
    title: &'a str,
    words: &'a str,
}

/// `levels` below the root, as the address is that was asked for.
pub(in crate::status) fn failure(
    (replica, now): (&str, Timestamp),
    levels: usize,
    title: &str,
    words: &str,
) -> Result<String, askama::Error> {
    let frame = Frame::new(replica, now, "", "api/status").below(levels).still();
    FailurePage { frame, title, words }.render()
}
