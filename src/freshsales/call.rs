//! Calls, ready to be sent but for the credentials: a call holds no secret.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::json;

use super::endpoint::Endpoint;
use super::records::contact::SalesAccountLink;
use crate::object::write_quoted;
use crate::schema::{Entity, Selector};

type QueryPairs = Vec<(&'static str, Cow<'static, str>)>;

/// One request. Cheap to clone: its body is shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Decides method, credential and what counts as a good answer.
    pub endpoint: Endpoint,
    /// Below the account's base address, with a slash at its beginning.
    pub path: Cow<'static, str>,
    /// Not yet encoded.
    pub query: QueryPairs,
    /// A JSON object, for POST and PUT. The client adds the app token to activities.
    pub body: Option<Bytes>,
    records: u32,
}

/// Which record a row of a bulk call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identifier {
    /// A contact's e-mail address, or the name of a sales account or a deal.
    Text(String),
    /// The id of a record that exists.
    Id(i64),
}

impl Identifier {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Id(_) => 20,
        }
    }

    /// Whether this is a text of a job's report, which is given in lower case.
    pub fn matches(&self, lower_case: &str) -> bool {
        match self {
            Self::Text(text) => text.to_lowercase() == lower_case,
            Self::Id(id) => id.to_string() == lower_case,
        }
    }
}

/// The most rows of one answer to a search.
const MOST_FOUND: usize = 100;

impl Call {
    /// Reads the fields of an entity.
    pub fn fields(entity: Entity) -> Self {
        Self::get(Endpoint::Fields(entity), format!("/api/settings/{}/fields", entity.plural()), vec![])
    }

    /// Reads the choices of a selector.
    pub fn selector(selector: Selector) -> Self {
        Self::get(Endpoint::Selector(selector), format!("/api/selector/{}", selector.as_str()), vec![])
    }

    /// Creates or updates the contact with this e-mail address; the answer holds its sales accounts. `contact` is a JSON
    /// object.
    pub fn contact_upsert(email: &str, contact: &str) -> Self {
        let mut call = Self::upsert(Entity::Contact, "emails", email, contact);
        call.query = vec![("include", "sales_accounts".into())];
        call
    }

    /// Creates or updates a sales account or a deal by name. `record` is a JSON object.
    pub fn named_upsert(entity: Entity, name: &str, record: &str) -> Self {
        Self::upsert(entity, "name", name, record)
    }

    fn upsert(entity: Entity, key: &str, identifier: &str, record: &str) -> Self {
        let size = key.len() + identifier.len() + entity.singular().len() + record.len();
        // Written once, into as much room as it takes.
        let mut body = String::with_capacity(size + r#"{"unique_identifier":{"":""},"":}"#.len());
        for part in [r#"{"unique_identifier":{""#, key, r#"":"#] {
            body.push_str(part);
        }
        write_quoted(&mut body, identifier);
        for part in [r#"},""#, entity.singular(), r#"":"#, record, "}"] {
            body.push_str(part);
        }
        let path = match entity {
            Entity::Contact => "/api/contacts/upsert",
            Entity::SalesAccount => "/api/sales_accounts/upsert",
            Entity::Deal => "/api/deals/upsert",
        };
        Self::with_body(Endpoint::Upsert(entity), path, body)
    }

    /// Creates or updates many records, each a JSON object under its identifier.
    pub fn bulk_upsert(entity: Entity, records: &[(Identifier, String)]) -> Self {
        let size: usize = records.iter().map(|(identifier, data)| identifier.len() + data.len() + 30).sum();
        // Written once, as these are the largest bodies of all.
        let mut body = String::with_capacity(size + 40);
        body.push_str("{\"");
        body.push_str(entity.plural());
        body.push_str("\":[");
        for (place, (identifier, data)) in records.iter().enumerate() {
            if place > 0 {
                body.push(',');
            }
            let key = match identifier {
                Identifier::Text(_) if entity == Entity::Contact => "emails",
                Identifier::Text(_) => "name",
                Identifier::Id(_) => "id",
            };
            for part in ["{\"", key, "\":"] {
                body.push_str(part);
            }
            match identifier {
                Identifier::Text(text) => write_quoted(&mut body, text),
                Identifier::Id(id) => write_quoted(&mut body, &id.to_string()),
            }
            body.push_str(",\"data\":");
            body.push_str(data);
            body.push('}');
        }
        body.push_str("]}");
        let path = format!("/api/{}/bulk_upsert", entity.plural());
        let call = Self::with_body(Endpoint::BulkUpsert(entity), path, body);
        Self { records: u32::try_from(records.len()).unwrap_or(u32::MAX), ..call }
    }

    /// Asks for the status of a bulk job.
    pub fn job_status(id: &str) -> Self {
        Self::get(Endpoint::JobStatus, format!("/api/job_statuses/{id}"), vec![])
    }

    /// Reads a contact with its sales accounts.
    pub fn contact_read(id: i64) -> Self {
        let query = vec![("include", "sales_accounts".into())];
        Self::get(Endpoint::ContactRead, format!("/api/contacts/{id}"), query)
    }

    /// Reads a contact with its sales accounts and its deals.
    pub fn contact_read_with_deals(id: i64) -> Self {
        let query = vec![("include", "sales_accounts,deals".into())];
        Self::get(Endpoint::ContactRead, format!("/api/contacts/{id}"), query)
    }

    /// Reads one record; a contact with its sales accounts.
    pub fn read(entity: Entity, id: i64) -> Self {
        let endpoint = match entity {
            Entity::Contact => return Self::contact_read(id),
            Entity::SalesAccount => Endpoint::SalesAccountRead,
            Entity::Deal => Endpoint::DealRead,
        };
        Self::get(endpoint, format!("/api/{}/{id}", entity.plural()), vec![])
    }

    /// Creates a deal. `deal` is a JSON object.
    pub fn deal_create(deal: &str) -> Self {
        Self::with_body(Endpoint::DealCreate, "/api/deals", wrapped(Entity::Deal, deal))
    }

    /// Changes one record. `record` is a JSON object.
    pub fn update(entity: Entity, id: i64, record: &str) -> Self {
        let endpoint = match entity {
            Entity::Contact => Endpoint::ContactUpdate,
            Entity::SalesAccount => Endpoint::SalesAccountUpdate,
            Entity::Deal => Endpoint::DealUpdate,
        };
        Self::with_body(endpoint, format!("/api/{}/{id}", entity.plural()), wrapped(entity, record))
    }

    /// Sets a contact's sales accounts. The API replaces the whole set, so `links` holds the old ones too.
    pub fn contact_links(id: i64, links: &[SalesAccountLink]) -> Self {
        Self::contact_update(id, &format!("{{\"sales_accounts\":{}}}", Self::links_text(links)))
    }

    /// A contact's sales accounts as a record carries them, an array's text.
    pub fn links_text(links: &[SalesAccountLink]) -> String {
        let links = links.iter().map(|link| json!({ "id": link.id, "is_primary": link.primary }));
        links.collect::<serde_json::Value>().to_string()
    }

    /// Changes the contact with this id; the answer holds its sales accounts. `contact` is a JSON object.
    pub fn contact_update(id: i64, contact: &str) -> Self {
        let body = wrapped(Entity::Contact, contact);
        let path = format!("/api/contacts/{id}");
        let mut call = Self::with_body(Endpoint::ContactUpdate, path, body);
        call.query = vec![("include", "sales_accounts".into())];
        call
    }

    /// Finds the contact with this `external_id`.
    pub fn lookup_external_id(external_id: &str) -> Self {
        Self::lookup("external_id", external_id)
    }

    /// Finds the contact with this e-mail address.
    pub fn lookup_email(email: &str) -> Self {
        Self::lookup("email", email)
    }

    fn lookup(field: &'static str, value: &str) -> Self {
        let query = vec![("q", value.to_owned().into()), ("f", field.into()), ("entities", "contact".into())];
        Self::get(Endpoint::Lookup, "/api/lookup", query)
    }

    /// Reads the records with these e-mail addresses or names, up to a hundred; contacts with their sales accounts and
    /// deals.
    pub fn search(entity: Entity, values: &[&str]) -> Self {
        let attribute = if entity == Entity::Contact { "contact_email.email" } else { "name" };
        let rule = json!({ "attribute": attribute, "operator": "is_in", "value": values });
        let body = json!({ "filter_rule": [rule] }).to_string();
        let path = format!("/api/filtered_search/{}", entity.singular());
        let mut call = Self::with_body(Endpoint::Search(entity), path, body);
        call.query = vec![("per_page", MOST_FOUND.to_string().into()), ("page", "1".into())];
        if entity == Entity::Contact {
            call.query.push(("include", "sales_accounts,deals".into()));
        }
        Self { records: u32::try_from(values.len()).unwrap_or(u32::MAX), ..call }
    }

    /// How many records it writes or reads.
    pub fn records(&self) -> u32 {
        self.records
    }

    #[cfg(test)]
    pub(crate) fn json(&self) -> serde_json::Value {
        self.body.as_ref().map(|body| serde_json::from_slice(body).unwrap()).unwrap_or_default()
    }

    pub(super) fn with_body(endpoint: Endpoint, path: impl Into<Cow<'static, str>>, body: String) -> Self {
        Self { endpoint, path: path.into(), query: vec![], body: Some(body.into()), records: 1 }
    }

    fn get(endpoint: Endpoint, path: impl Into<Cow<'static, str>>, query: QueryPairs) -> Self {
        Self { endpoint, path: path.into(), query, body: None, records: 1 }
    }
}

/// The body that creates or changes one record.
fn wrapped(entity: Entity, record: &str) -> String {
    ["{\"", entity.singular(), "\":", record, "}"].concat()
}
