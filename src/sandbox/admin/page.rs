//! The page for people: what the account now holds, in one self-contained piece of HTML.

use serde_json::Value;

use crate::html::escape;
use crate::sandbox::account::SandboxAccount;
use crate::sandbox::account::store::record::StoredRecord;
use crate::sandbox::admin::options;
use crate::schema::Entity;

/// How many rows a table shows, newest first.
const ROWS: usize = 50;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8882}\
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}\
p{margin:.3rem 0;opacity:.75}\
div{overflow-x:auto}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line)}\
th{font-weight:600;background:var(--soft)}td{overflow-wrap:anywhere}\
code{font-size:.9em}.none{opacity:.6}";

/// Draws the account.
pub(in crate::sandbox) fn page(state: &SandboxAccount) -> String {
    let shelf = |entity| state.store.records(entity);
    let mut html = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    html +=
        "<meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"5\">";
    html += "<title>Freshet sandbox</title><style>";
    html += STYLE;
    html += "</style></head><body><h1>Freshet sandbox</h1>";
    let summary = format!(
        "A stand-in for one Freshsales account: {} contacts, {} sales accounts, {} deals, \
         {} activities, {} requests. Refreshes every five seconds.",
        shelf(Entity::Contact).len(),
        shelf(Entity::SalesAccount).len(),
        shelf(Entity::Deal).len(),
        state.activities.count(),
        state.journal.total(),
    );
    tag(&mut html, "p", &summary);
    html += "<p><code>GET /_sandbox/state</code> has all of it as JSON.</p>";
    let options = options::shown(&state.options);
    let options = options.as_object().map(|options| pairs(options.iter())).unwrap_or_default();
    tag(&mut html, "p", &format!("Options: {options}"));
    contacts(state, &mut html);
    sales_accounts(state, &mut html);
    deals(state, &mut html);
    activities(state, &mut html);
    jobs(state, &mut html);
    refusals(state, &mut html);
    html += "</body></html>\n";
    html
}

fn contacts(state: &SandboxAccount, html: &mut String) {
    let accounts = state.store.records(Entity::SalesAccount);
    let rows = state.store.records(Entity::Contact).iter().rev().map(|contact| {
        let emails: Vec<&str> = contact.emails.iter().map(|email| email.value.as_str()).collect();
        let links = contact.sales_accounts.iter().filter_map(|link| accounts.get(link.id));
        let links: Vec<&str> = links.map(|account| account.text("name")).collect();
        vec![
            contact.id.to_string(),
            contact.display_name(Entity::Contact),
            emails.join(", "),
            links.join(", "),
            values(contact, &["first_name", "last_name"]),
        ]
    });
    table(html, "Contacts", &["Id", "Name", "E-mails", "Sales accounts", "Fields"], rows);
}

fn sales_accounts(state: &SandboxAccount, html: &mut String) {
    let rows = state.store.records(Entity::SalesAccount).iter().rev().map(|account| {
        vec![account.id.to_string(), account.text("name").to_owned(), values(account, &["name"])]
    });
    table(html, "Sales accounts", &["Id", "Name", "Fields"], rows);
}

fn deals(state: &SandboxAccount, html: &mut String) {
    let accounts = state.store.records(Entity::SalesAccount);
    let contacts = state.store.records(Entity::Contact);
    let rows = state.store.records(Entity::Deal).iter().rev().map(|deal| {
        let account = deal.fields.get("sales_account_id").and_then(Value::as_u64);
        let people = deal.contact_ids.iter().filter_map(|id| contacts.get(*id));
        let people: Vec<String> = people.map(|contact| contact.display_name(Entity::Contact)).collect();
        vec![
            deal.id.to_string(),
            deal.text("name").to_owned(),
            deal.fields.get("amount").map(text).unwrap_or_default(),
            account.and_then(|id| accounts.get(id)).map(|it| it.text("name").to_owned()).unwrap_or_default(),
            people.join(", "),
            values(deal, &["name", "amount", "sales_account_id"]),
        ]
    });
    table(html, "Deals", &["Id", "Name", "Value", "Sales account", "Contacts", "Fields"], rows);
}

fn activities(state: &SandboxAccount, html: &mut String) {
    let rows = state.activities.iter().rev().map(|activity| {
        vec![
            activity.received_at.to_string(),
            activity.kind.as_str().to_owned(),
            activity.identifier.clone(),
            activity.subject.clone().unwrap_or_default(),
            pairs(activity.properties.iter()),
        ]
    });
    table(html, "Activities", &["Received", "TrackingKind", "Identifier", "What", "Properties"], rows);
}

fn jobs(state: &SandboxAccount, html: &mut String) {
    let rows = state.jobs.iter().rev().map(|(id, job)| {
        let report = job.report.as_ref().map_or_else(
            || format!("{} %", job.progress(state.clock.instant())),
            |report| format!("{} succeeded, {} failed", report.succeeded, report.failures.len()),
        );
        vec![id.to_string(), job.entity.plural().to_owned(), report]
    });
    table(html, "Bulk jobs", &["Id", "Records", "Status"], rows);
}

fn refusals(state: &SandboxAccount, html: &mut String) {
    let rows = state.journal.refusals().map(|refusal| {
        vec![
            format!("{}.{} s", refusal.at_ms / 1000, refusal.at_ms % 1000 / 100),
            refusal.endpoint.name().into_owned(),
            refusal.status.to_string(),
            refusal.message.clone(),
        ]
    });
    table(html, "Recent refusals", &["After", "ApiEndpoint", "Status", "Message"], rows);
}

fn table(html: &mut String, title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    tag(html, "h2", title);
    let mut rows = rows.take(ROWS).peekable();
    if rows.peek().is_none() {
        html.push_str("<p class=\"none\">None yet.</p>");
        return;
    }
    html.push_str("<div><table><thead><tr>");
    for head in heads {
        tag(html, "th", head);
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            tag(html, "td", &cell);
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
}

/// One element with a text in it; the only way a text gets onto the page.
fn tag(html: &mut String, name: &str, text: &str) {
    for piece in ["<", name, ">", &escape(text), "</", name, ">"] {
        html.push_str(piece);
    }
}

/// A record's other fields, default and custom.
fn values(record: &StoredRecord, shown: &[&str]) -> String {
    let fields = record.fields.iter().filter(|(name, _)| !shown.contains(&name.as_str()));
    pairs(fields.chain(record.custom_field.iter()))
}

fn pairs<'a>(pairs: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}: {}", text(value))).collect();
    pairs.join(", ")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_came_in_becomes_markup() {
        assert_eq!(escape(r#"<a href='x' b="y">&"#), "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;");
    }
}
