//! The page for people.

use std::fmt::Write as _;

use super::Status;
use crate::html::escape as escape_html;

pub(super) fn render(status: &Status) -> String {
    let mut rows = String::new();
    for account in &status.accounts {
        let state = account.lane.state.as_str();
        let stuck = account.stuck.map_or_else(String::new, |stuck| {
            format!("<span class=\"stuck\">stuck for {} s: {}</span> ", stuck.seconds, stuck.why)
        });
        let written = write!(
            rows,
            "<tr><td>{name}</td><td class=\"{state}\">{state}</td><td>{since}</td><td>{in_flight}</td>\
             <td>{delivered}</td><td>{skipped}</td><td>{dead}</td><td>{left} of {hour} an hour</td><td>{stuck}{why}</td></tr>",
            name = escape_html(&account.lane.account),
            since = account.lane.since.strftime("%F %T UTC"),
            in_flight = account.in_flight,
            delivered = account.delivered,
            skipped = account.skipped,
            dead = account.dead_lettered,
            left = account.quota_remaining,
            hour = account.quota_requests_per_hour,
            why = escape_html(&account.lane.why),
        );
        debug_assert!(written.is_ok(), "a string takes everything");
    }
    let broker = match &status.broker {
        None => "events come from a file".to_owned(),
        Some(view) if view.ready => format!("connected since {}", view.since.strftime("%F %T UTC")),
        Some(view) => escape_html(&view.why),
    };
    let name_taken = status.broker.as_ref().is_some_and(|view| view.name_taken);
    let clash = if name_taken { " (another connection goes by this name)" } else { "" };
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Freshet</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }}
table {{ border-collapse: collapse }} th, td {{ text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #ddd }}
.flowing {{ color: #176b2c }} .standby {{ color: #666 }}
.unauthorized, .retrying, .stuck {{ color: #a11 }} .throttled, .waiting_for_schema {{ color: #8a5a00 }}
</style></head><body>
<h1>Freshet</h1>
<p>Replica {replica}{clash}, version {version}, up since {started}. Broker: {broker}.</p>
<table><thead><tr><th>Account</th><th>State</th><th>Since</th><th>In flight</th><th>Delivered</th><th>Skipped</th>
<th>Dead letters</th><th>Calls left</th><th>Why</th></tr></thead><tbody>{rows}</tbody></table>
<p><a href="/metrics">Metrics</a> · <a href="/api/status">This page as JSON</a></p>
</body></html>
"#,
        replica = escape_html(&status.replica),
        version = status.version,
        started = status.started.strftime("%F %T UTC"),
    )
}
