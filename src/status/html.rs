//! The status page for people, filled into `templates/status.html`.

use askama::Template;
use jiff::Timestamp;

use super::snapshot::Status;

pub(super) fn render(status: &Status) -> Result<String, askama::Error> {
    let name_taken = status.broker.as_ref().is_some_and(|broker| broker.name_taken);
    StatusTemplate { status, name_taken }.render()
}

#[derive(Template)]
#[template(path = "status/templates/status.html")]
struct StatusTemplate<'a> {
    status: &'a Status,
    name_taken: bool,
}

fn utc(time: &Timestamp) -> String {
    time.strftime("%F %T UTC").to_string()
}
