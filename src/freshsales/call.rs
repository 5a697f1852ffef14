//! The endpoints table, and the calls that are made of it. A call holds no secret.

use serde_json::{Map, Value, json};

use crate::schema::Entity;

/// Every endpoint Freshet calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The fields of an entity.
    Fields(Entity),
    /// Create or update one record by its identifier.
    Upsert(Entity),
    /// One contact with its sales accounts.
    ContactRead,
    /// Change one contact; here only its links to sales accounts.
    ContactUpdate,
    /// Find a contact by `external_id`.
    Lookup,
    /// Report an event.
    TrackEvent,
    /// Report a page view.
    TrackPageView,
}

/// Which limit a call counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// The account's hourly API quota.
    Api,
    /// The tracking endpoints' own limit.
    Tracking,
}

impl Endpoint {
    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fields(Entity::Contact) => "contact_fields",
            Self::Fields(Entity::SalesAccount) => "sales_account_fields",
            Self::Fields(Entity::Deal) => "deal_fields",
            Self::Upsert(Entity::Contact) => "contact_upsert",
            Self::Upsert(Entity::SalesAccount) => "sales_account_upsert",
            Self::Upsert(Entity::Deal) => "deal_upsert",
            Self::ContactRead => "contact_read",
            Self::ContactUpdate => "contact_update",
            Self::Lookup => "lookup",
            Self::TrackEvent => "track_event",
            Self::TrackPageView => "track_page_view",
        }
    }

    /// GET, POST or PUT.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Fields(_) | Self::ContactRead | Self::Lookup => "GET",
            Self::ContactUpdate => "PUT",
            Self::Upsert(_) | Self::TrackEvent | Self::TrackPageView => "POST",
        }
    }

    /// Which limit it counts against, and with it which credential it takes.
    pub const fn budget(self) -> Budget {
        match self {
            Self::TrackEvent | Self::TrackPageView => Budget::Tracking,
            Self::Fields(_) | Self::Upsert(_) | Self::ContactRead | Self::ContactUpdate | Self::Lookup => {
                Budget::Api
            }
        }
    }

    /// What a good answer holds. Tracking answers are not known; any 2xx is good that is no web page.
    pub const fn answers(self) -> Expected {
        match self {
            Self::Fields(_) => Expected::Key("fields"),
            Self::Upsert(entity) => Expected::Record(entity.singular()),
            Self::ContactRead | Self::ContactUpdate => Expected::Record(Entity::Contact.singular()),
            Self::Lookup => Expected::Key("contacts"),
            Self::TrackEvent | Self::TrackPageView => Expected::Anything,
        }
    }
}

/// What the body of a good answer must hold to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// An object under this key, with an `id`.
    Record(&'static str),
    /// This key.
    Key(&'static str),
    /// Nothing in particular.
    Anything,
}

/// One request, ready but for the credentials.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is called.
    pub endpoint: Endpoint,
    /// Under the account's base address.
    pub path: String,
    /// Not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// JSON, for POST and PUT.
    pub body: Option<Value>,
}

/// A contact's link to a sales account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The sales account's id.
    pub id: i64,
    /// Exactly one link of a contact is.
    pub primary: bool,
}

/// The value every tracking body carries. The official libraries send their language's name, and unknown
/// ones were reported as refused, so a known one is sent.
const SDK: &str = "ruby";

impl Call {
    /// Reads the fields of an entity.
    pub fn fields(entity: Entity) -> Self {
        Self::get(Endpoint::Fields(entity), format!("/api/settings/{}/fields", entity.plural()), vec![])
    }

    /// Creates or updates the contact with this e-mail address; the answer carries its links.
    pub fn contact_upsert(email: &str, contact: Map<String, Value>) -> Self {
        let mut call = Self::upsert(Entity::Contact, json!({ "emails": email }), contact);
        call.query = vec![("include", "sales_accounts".to_owned())];
        call
    }

    /// Creates or updates a sales account or a deal by name.
    pub fn named_upsert(entity: Entity, name: &str, record: Map<String, Value>) -> Self {
        Self::upsert(entity, json!({ "name": name }), record)
    }

    fn upsert(entity: Entity, identifier: Value, record: Map<String, Value>) -> Self {
        let mut body = Map::new();
        body.insert("unique_identifier".to_owned(), identifier);
        body.insert(entity.singular().to_owned(), Value::Object(record));
        Self {
            endpoint: Endpoint::Upsert(entity),
            path: format!("/api/{}/upsert", entity.plural()),
            query: vec![],
            body: Some(Value::Object(body)),
        }
    }

    /// Reads a contact with its links.
    pub fn contact_read(id: i64) -> Self {
        let query = vec![("include", "sales_accounts".to_owned())];
        Self::get(Endpoint::ContactRead, format!("/api/contacts/{id}"), query)
    }

    /// Sets a contact's links. The API replaces the whole set, so `links` holds the old ones too.
    pub fn contact_links(id: i64, links: &[Link]) -> Self {
        let links: Vec<_> =
            links.iter().map(|link| json!({ "id": link.id, "is_primary": link.primary })).collect();
        Self {
            endpoint: Endpoint::ContactUpdate,
            path: format!("/api/contacts/{id}"),
            query: vec![("include", "sales_accounts".to_owned())],
            body: Some(json!({ "contact": { "sales_accounts": links } })),
        }
    }

    /// Finds the contact with this `external_id`.
    pub fn lookup_external_id(external_id: &str) -> Self {
        let query = vec![
            ("q", external_id.to_owned()),
            ("f", "external_id".to_owned()),
            ("entities", "contact".to_owned()),
        ];
        Self::get(Endpoint::Lookup, "/api/lookup".to_owned(), query)
    }

    /// Reports an event. The name cannot be displaced by a property.
    pub fn track_event(identifier: &str, name: &str, properties: &Map<String, Value>) -> Self {
        Self::track(Endpoint::TrackEvent, "events", "event", identifier, ("name", name), properties)
    }

    /// Reports a page view.
    pub fn track_page_view(identifier: &str, url: &str, properties: &Map<String, Value>) -> Self {
        Self::track(Endpoint::TrackPageView, "page_views", "page_view", identifier, ("url", url), properties)
    }

    fn track(
        endpoint: Endpoint,
        path: &str,
        wrapper: &str,
        identifier: &str,
        (key, value): (&str, &str),
        properties: &Map<String, Value>,
    ) -> Self {
        let mut inner = Map::new();
        inner.insert(key.to_owned(), Value::from(value));
        for (name, property) in properties {
            if name != key {
                inner.insert(name.clone(), property.clone());
            }
        }
        let mut body = Map::new();
        body.insert("identifier".to_owned(), Value::from(identifier));
        body.insert(wrapper.to_owned(), Value::Object(inner));
        body.insert("sdk".to_owned(), Value::from(SDK));
        Self { endpoint, path: format!("/track/{path}"), query: vec![], body: Some(Value::Object(body)) }
    }

    fn get(endpoint: Endpoint, path: String, query: Vec<(&'static str, String)>) -> Self {
        Self { endpoint, path, query, body: None }
    }
}
