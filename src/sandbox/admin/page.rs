//! The page for people: what the account holds, in one self-contained piece of HTML.

use askama::Template;
use serde_json::Value;

use super::options;
use crate::{
    sandbox::{
        account::{SandboxAccount, store::record::StoredRecord},
        http::{api::Api, journal::Journal},
    },
    schema::Entity,
};

/// Rows of a table, newest first.
const ROWS: usize = 50;

/// The template escapes every text.
#[derive(Template)]
#[template(path = "sandbox/admin/templates/page.html")]
struct PageTemplate {
    contacts: usize,
    sales_accounts: usize,
    deals: usize,
    activities: u64,
    requests: u64,
    options: String,
    tables: Vec<Table>,
}

struct Table {
    title: &'static str,
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(
        title: &'static str,
        headings: &'static [&'static str],
        rows: impl Iterator<Item = Vec<String>>,
    ) -> Self {
        Self { title, headings, rows: rows.take(ROWS).collect() }
    }
}

/// The answer to `GET /`.
pub(super) fn page(api: &Api) -> askama::Result<String> {
    let account = &api.account;
    let options = options::shown(&account.options);
    PageTemplate {
        contacts: account.store.records(Entity::Contact).len(),
        sales_accounts: account.store.records(Entity::SalesAccount).len(),
        deals: account.store.records(Entity::Deal).len(),
        activities: account.activities.total,
        requests: api.journal.total(),
        options: options.as_object().map(|options| pairs(options.iter())).unwrap_or_default(),
        tables: vec![
            contacts(account),
            sales_accounts(account),
            deals(account),
            activities(account),
            jobs(account),
            refusals(&api.journal),
        ],
    }
    .render()
}

fn contacts(account: &SandboxAccount) -> Table {
    let sales_accounts = account.store.records(Entity::SalesAccount);
    let rows = account.store.records(Entity::Contact).iter().rev().map(|contact| {
        let emails: Vec<&str> = contact.emails.iter().map(|email| email.value.as_str()).collect();
        let linked = contact.sales_accounts.iter().filter_map(|link| sales_accounts.get(link.id));
        let linked: Vec<&str> = linked.map(|linked| linked.text("name")).collect();
        vec![
            contact.id.to_string(),
            contact.display_name(Entity::Contact),
            emails.join(", "),
            linked.join(", "),
            other_fields(contact, &["first_name", "last_name"]),
        ]
    });
    Table::new("Contacts", &["Id", "Name", "E-mails", "Sales accounts", "Fields"], rows)
}

fn sales_accounts(account: &SandboxAccount) -> Table {
    let rows = account.store.records(Entity::SalesAccount).iter().rev().map(|record| {
        vec![record.id.to_string(), record.text("name").to_owned(), other_fields(record, &["name"])]
    });
    Table::new("Sales accounts", &["Id", "Name", "Fields"], rows)
}

fn deals(account: &SandboxAccount) -> Table {
    let sales_accounts = account.store.records(Entity::SalesAccount);
    let contacts = account.store.records(Entity::Contact);
    let rows = account.store.records(Entity::Deal).iter().rev().map(|deal| {
        let linked = deal.reference("sales_account_id").and_then(|id| sales_accounts.get(id));
        let people = deal.contact_ids.iter().filter_map(|id| contacts.get(*id));
        let people: Vec<String> = people.map(|contact| contact.display_name(Entity::Contact)).collect();
        vec![
            deal.id.to_string(),
            deal.text("name").to_owned(),
            deal.fields.get("amount").map(text).unwrap_or_default(),
            linked.map(|linked| linked.text("name").to_owned()).unwrap_or_default(),
            people.join(", "),
            other_fields(deal, &["name", "amount", "sales_account_id"]),
        ]
    });
    Table::new("Deals", &["Id", "Name", "Value", "Sales account", "Contacts", "Fields"], rows)
}

fn activities(account: &SandboxAccount) -> Table {
    let rows = account.activities.iter().rev().map(|activity| {
        vec![
            activity.received_at.to_string(),
            activity.kind.as_str().to_owned(),
            activity.identifier.clone(),
            activity.subject.clone().unwrap_or_default(),
            pairs(activity.properties.iter()),
        ]
    });
    Table::new("Activities", &["Received", "Kind", "Identifier", "What", "Properties"], rows)
}

fn jobs(account: &SandboxAccount) -> Table {
    let rows = account.jobs.iter().rev().map(|(id, job)| {
        let report = job.report.as_ref().map_or_else(
            || format!("{} %", job.progress(account.clock.instant())),
            |report| format!("{} succeeded, {} failed", report.succeeded, report.failures.len()),
        );
        vec![id.to_string(), job.entity.plural().to_owned(), report]
    });
    Table::new("Bulk jobs", &["Id", "Records", "Status"], rows)
}

fn refusals(journal: &Journal) -> Table {
    let rows = journal.refusals().iter().rev().map(|refusal| {
        vec![
            format!("{}.{} s", refusal.at_ms / 1000, refusal.at_ms % 1000 / 100),
            refusal.endpoint.clone(),
            refusal.status.to_string(),
            refusal.message.clone(),
        ]
    });
    Table::new("Recent refusals", &["After", "Endpoint", "Status", "Message"], rows)
}

/// Default and custom fields, without those that have columns of their own.
fn other_fields(record: &StoredRecord, shown: &[&str]) -> String {
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
