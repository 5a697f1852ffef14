//! The endpoints table, and the calls that are made of it. A call holds no secret.

use bytes::Bytes;
use serde_json::json;

use crate::object::{ObjectWriter, find, members};
use crate::schema::{Entity, Selector};

/// Every endpoint Freshet calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The fields of an entity.
    Fields(Entity),
    /// The account's users, lifecycle stages or pipelines.
    Selector(Selector),
    /// Create or update one record by its identifier.
    Upsert(Entity),
    /// Create or update up to a hundred records by their identifiers; answered by a job.
    BulkUpsert(Entity),
    /// What became of a job.
    JobStatus,
    /// One contact with its sales accounts, or with its deals too.
    ContactRead,
    /// Change one contact.
    ContactUpdate,
    /// One sales account.
    SalesAccountRead,
    /// Change one sales account.
    SalesAccountUpdate,
    /// One deal.
    DealRead,
    /// Create a deal, whatever other deals have its name. Sent twice, it creates two.
    DealCreate,
    /// Change one deal.
    DealUpdate,
    /// Find a contact by `external_id` or by e-mail address.
    Lookup,
    /// Report an event.
    TrackEvent,
    /// Report a page view.
    TrackPageView,
}

/// Which limit a call counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetKind {
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
            Self::Selector(Selector::Owners) => "owners",
            Self::Selector(Selector::LifecycleStages) => "lifecycle_stages",
            Self::Selector(Selector::DealPipelines) => "deal_pipelines",
            Self::Upsert(Entity::Contact) => "contact_upsert",
            Self::Upsert(Entity::SalesAccount) => "sales_account_upsert",
            Self::Upsert(Entity::Deal) => "deal_upsert",
            Self::BulkUpsert(Entity::Contact) => "contact_bulk_upsert",
            Self::BulkUpsert(Entity::SalesAccount) => "sales_account_bulk_upsert",
            Self::BulkUpsert(Entity::Deal) => "deal_bulk_upsert",
            Self::JobStatus => "job_status",
            Self::ContactRead => "contact_read",
            Self::ContactUpdate => "contact_update",
            Self::SalesAccountRead => "sales_account_read",
            Self::SalesAccountUpdate => "sales_account_update",
            Self::DealRead => "deal_read",
            Self::DealCreate => "deal_create",
            Self::DealUpdate => "deal_update",
            Self::Lookup => "lookup",
            Self::TrackEvent => "track_event",
            Self::TrackPageView => "track_page_view",
        }
    }

    /// GET, POST or PUT.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Fields(_)
            | Self::Selector(_)
            | Self::ContactRead
            | Self::SalesAccountRead
            | Self::DealRead
            | Self::Lookup
            | Self::JobStatus => "GET",
            Self::ContactUpdate | Self::SalesAccountUpdate | Self::DealUpdate => "PUT",
            Self::Upsert(_)
            | Self::BulkUpsert(_)
            | Self::DealCreate
            | Self::TrackEvent
            | Self::TrackPageView => "POST",
        }
    }

    /// Which limit it counts against, and with it which credential it takes.
    pub const fn budget(self) -> BudgetKind {
        match self {
            Self::TrackEvent | Self::TrackPageView => BudgetKind::Tracking,
            Self::Fields(_)
            | Self::Selector(_)
            | Self::Upsert(_)
            | Self::BulkUpsert(_)
            | Self::JobStatus
            | Self::ContactRead
            | Self::ContactUpdate
            | Self::SalesAccountRead
            | Self::SalesAccountUpdate
            | Self::DealRead
            | Self::DealCreate
            | Self::DealUpdate
            | Self::Lookup => BudgetKind::Api,
        }
    }

    /// Whether it asks for a record by its id, so that "not found" speaks of that record.
    pub const fn names_an_id(self) -> bool {
        match self {
            Self::JobStatus
            | Self::ContactRead
            | Self::ContactUpdate
            | Self::SalesAccountRead
            | Self::SalesAccountUpdate
            | Self::DealRead
            | Self::DealUpdate => true,
            Self::Fields(_)
            | Self::Selector(_)
            | Self::Upsert(_)
            | Self::BulkUpsert(_)
            | Self::DealCreate
            | Self::Lookup
            | Self::TrackEvent
            | Self::TrackPageView => false,
        }
    }

    /// What it belongs to where rights and failures are concerned.
    pub const fn family(self) -> Family {
        match self {
            Self::Fields(_) => Family::Fields,
            Self::Selector(_) => Family::Selectors,
            Self::Upsert(Entity::Contact)
            | Self::BulkUpsert(Entity::Contact)
            | Self::ContactRead
            | Self::ContactUpdate => Family::Contacts,
            Self::Upsert(Entity::SalesAccount)
            | Self::BulkUpsert(Entity::SalesAccount)
            | Self::SalesAccountRead
            | Self::SalesAccountUpdate => Family::SalesAccounts,
            Self::Upsert(Entity::Deal)
            | Self::BulkUpsert(Entity::Deal)
            | Self::DealRead
            | Self::DealCreate
            | Self::DealUpdate => Family::Deals,
            Self::JobStatus => Family::Jobs,
            Self::Lookup => Family::Lookups,
            Self::TrackEvent | Self::TrackPageView => Family::Tracking,
        }
    }

    /// What a good answer holds. Tracking answers are not known; any 2xx is good that is no web page.
    pub const fn answers(self) -> Expected {
        match self {
            Self::Fields(_) => Expected::Key("fields"),
            Self::Selector(selector) => Expected::Key(selector.key()),
            Self::Upsert(entity) => Expected::Record(entity.singular()),
            Self::ContactRead | Self::ContactUpdate => Expected::Record(Entity::Contact.singular()),
            Self::SalesAccountRead | Self::SalesAccountUpdate => {
                Expected::Record(Entity::SalesAccount.singular())
            }
            Self::DealRead | Self::DealCreate | Self::DealUpdate => Expected::Record(Entity::Deal.singular()),
            Self::Lookup => Expected::Key("contacts"),
            // A status of unknown form ends the job as unclear; trying again would not make it clearer.
            Self::BulkUpsert(_) | Self::JobStatus | Self::TrackEvent | Self::TrackPageView => {
                Expected::Anything
            }
        }
    }
}

/// Endpoints that need the same right, and that mostly fail together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Reading the fields of any entity.
    Fields,
    /// Reading users, lifecycle stages and pipelines.
    Selectors,
    /// Writing contacts, and reading one.
    Contacts,
    /// Writing sales accounts.
    SalesAccounts,
    /// Writing deals.
    Deals,
    /// Reading what became of jobs.
    Jobs,
    /// Finding contacts.
    Lookups,
    /// Reporting events and page views.
    Tracking,
}

impl Family {
    /// What somebody must have the right to do.
    pub const fn right(self) -> &'static str {
        match self {
            Self::Fields => "read the settings of fields",
            Self::Selectors => "read users, lifecycle stages and pipelines",
            Self::Contacts => "write contacts",
            Self::SalesAccounts => "write sales accounts",
            Self::Deals => "write deals",
            Self::Jobs => "read the status of jobs",
            Self::Lookups => "look up contacts",
            Self::Tracking => "report events and page views",
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

/// One request, ready but for the credentials. Cheap to clone: its body is shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is called.
    pub endpoint: Endpoint,
    /// Under the account's base address.
    pub path: String,
    /// Not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// A JSON object, for POST and PUT, as it is sent; for activities less the app token.
    pub body: Option<Bytes>,
    records: u32,
}

/// What says which record a row of a bulk call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identifier {
    /// A contact's e-mail address, or the name of a sales account or a deal.
    Text(String),
    /// The id of a record that is there.
    Id(i64),
}

impl Identifier {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Id(_) => 20,
        }
    }

    /// Whether a text that a job's report tells of a row, in lower case, is this.
    pub fn is(&self, told: &str) -> bool {
        match self {
            Self::Text(text) => text.to_lowercase() == told,
            Self::Id(id) => id.to_string() == told,
        }
    }
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

    /// Reads a selector.
    pub fn selector(selector: Selector) -> Self {
        Self::get(Endpoint::Selector(selector), format!("/api/selector/{}", selector.as_str()), vec![])
    }

    /// Creates or updates the contact with this e-mail address; the answer carries its links. `contact` is an object's
    /// text.
    pub fn contact_upsert(email: &str, contact: &str) -> Self {
        let mut call = Self::upsert(Entity::Contact, "emails", email, contact);
        call.query = vec![("include", "sales_accounts".to_owned())];
        call
    }

    /// Creates or updates a sales account or a deal by name. `record` is an object's text.
    pub fn named_upsert(entity: Entity, name: &str, record: &str) -> Self {
        Self::upsert(entity, "name", name, record)
    }

    fn upsert(entity: Entity, key: &str, identifier: &str, record: &str) -> Self {
        let mut unique = ObjectWriter::with_capacity(identifier.len() + 20);
        unique.text(key, identifier);
        let mut body = ObjectWriter::with_capacity(record.len() + identifier.len() + 80);
        body.json("unique_identifier", &unique.finish());
        body.json(entity.singular(), record);
        Self::with_body(Endpoint::Upsert(entity), format!("/api/{}/upsert", entity.plural()), body.finish())
    }

    /// Creates or updates many records, each under its identifier, each an object's text.
    pub fn bulk_upsert(entity: Entity, records: &[(Identifier, String)]) -> Self {
        let size = records.iter().map(|(identifier, data)| identifier.len() + data.len() + 40).sum();
        let mut list = String::with_capacity(size);
        for (identifier, data) in records {
            list.push(if list.is_empty() { '[' } else { ',' });
            let mut record = ObjectWriter::with_capacity(identifier.len() + data.len() + 40);
            match identifier {
                Identifier::Text(text) if entity == Entity::Contact => record.text("emails", text),
                Identifier::Text(text) => record.text("name", text),
                Identifier::Id(id) => record.text("id", &id.to_string()),
            }
            record.json("data", data);
            list.push_str(&record.finish());
        }
        list.push_str(if list.is_empty() { "[]" } else { "]" });
        let mut body = ObjectWriter::with_capacity(list.len() + 40);
        body.json(entity.plural(), &list);
        let path = format!("/api/{}/bulk_upsert", entity.plural());
        let call = Self::with_body(Endpoint::BulkUpsert(entity), path, body.finish());
        Self { records: u32::try_from(records.len()).unwrap_or(u32::MAX), ..call }
    }

    /// Asks what became of a job.
    pub fn job_status(id: &str) -> Self {
        Self::get(Endpoint::JobStatus, format!("/api/job_statuses/{id}"), vec![])
    }

    /// Reads a contact with its links.
    pub fn contact_read(id: i64) -> Self {
        let query = vec![("include", "sales_accounts".to_owned())];
        Self::get(Endpoint::ContactRead, format!("/api/contacts/{id}"), query)
    }

    /// Reads a contact with its links and its deals.
    pub fn contact_read_with_deals(id: i64) -> Self {
        let query = vec![("include", "sales_accounts,deals".to_owned())];
        Self::get(Endpoint::ContactRead, format!("/api/contacts/{id}"), query)
    }

    /// Reads one record; a contact with its links.
    pub fn read(entity: Entity, id: i64) -> Self {
        let endpoint = match entity {
            Entity::Contact => return Self::contact_read(id),
            Entity::SalesAccount => Endpoint::SalesAccountRead,
            Entity::Deal => Endpoint::DealRead,
        };
        Self::get(endpoint, format!("/api/{}/{id}", entity.plural()), vec![])
    }

    /// Creates a deal. `deal` is an object's text.
    pub fn deal_create(deal: &str) -> Self {
        Self::with_body(Endpoint::DealCreate, "/api/deals".to_owned(), wrapped(Entity::Deal, deal))
    }

    /// Changes one record. `record` is an object's text.
    pub fn update(entity: Entity, id: i64, record: &str) -> Self {
        let endpoint = match entity {
            Entity::Contact => Endpoint::ContactUpdate,
            Entity::SalesAccount => Endpoint::SalesAccountUpdate,
            Entity::Deal => Endpoint::DealUpdate,
        };
        Self::with_body(endpoint, format!("/api/{}/{id}", entity.plural()), wrapped(entity, record))
    }

    /// Sets a contact's links. The API replaces the whole set, so `links` holds the old ones too.
    pub fn contact_links(id: i64, links: &[Link]) -> Self {
        let links: Vec<_> =
            links.iter().map(|link| json!({ "id": link.id, "is_primary": link.primary })).collect();
        Self::contact_update(id, &json!({ "sales_accounts": links }).to_string())
    }

    /// Changes the contact with this id; the answer carries its links. `contact` is an object's text.
    pub fn contact_update(id: i64, contact: &str) -> Self {
        let mut body = ObjectWriter::with_capacity(contact.len() + 20);
        body.json(Entity::Contact.singular(), contact);
        let path = format!("/api/contacts/{id}");
        let mut call = Self::with_body(Endpoint::ContactUpdate, path, body.finish());
        call.query = vec![("include", "sales_accounts".to_owned())];
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

    fn lookup(field: &str, value: &str) -> Self {
        let query =
            vec![("q", value.to_owned()), ("f", field.to_owned()), ("entities", "contact".to_owned())];
        Self::get(Endpoint::Lookup, "/api/lookup".to_owned(), query)
    }

    /// Reports an event. `properties` is an object's text. One called `name`, which is the product's in Segment's
    /// specification, must not displace the event's: it is sent as `property_name`, unless there is one already.
    pub fn track_event(identifier: &str, name: &str, properties: &str) -> Self {
        let mut inner = ObjectWriter::with_capacity(properties.len() + name.len() + 80);
        inner.text("name", name);
        let taken = find(properties, "property_name").is_some();
        for member in members(properties) {
            if member.name() != "name" {
                inner.member(member);
            } else if !taken {
                inner.json("property_name", member.value);
            }
        }
        Self::track(Endpoint::TrackEvent, "events", "event", identifier, &inner.finish())
    }

    /// Reports a page view. `properties` is an object's text; `added` take the place of those of the same name.
    pub fn track_page_view(
        identifier: &str,
        url: &str,
        properties: &str,
        added: &[(&'static str, String)],
    ) -> Self {
        let mut inner = ObjectWriter::with_capacity(properties.len() + url.len() + 80);
        inner.text("url", url);
        for member in members(properties) {
            let name = member.name();
            if name != "url" && added.iter().all(|(added, _)| name != *added) {
                inner.member(member);
            }
        }
        for (name, value) in added {
            inner.text(name, value);
        }
        Self::track(Endpoint::TrackPageView, "page_views", "page_view", identifier, &inner.finish())
    }

    fn track(endpoint: Endpoint, path: &str, wrapper: &str, identifier: &str, inner: &str) -> Self {
        let mut body = ObjectWriter::with_capacity(inner.len() + identifier.len() + 80);
        body.text("identifier", identifier);
        body.json(wrapper, inner);
        body.text("sdk", SDK);
        Self::with_body(endpoint, format!("/track/{path}"), body.finish())
    }

    /// Records carried.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The body as a value.
    #[cfg(test)]
    pub(crate) fn json(&self) -> serde_json::Value {
        self.body.as_ref().map(|body| serde_json::from_slice(body).unwrap()).unwrap_or_default()
    }

    fn with_body(endpoint: Endpoint, path: String, body: String) -> Self {
        Self { endpoint, path, query: vec![], body: Some(body.into()), records: 1 }
    }

    fn get(endpoint: Endpoint, path: String, query: Vec<(&'static str, String)>) -> Self {
        Self { endpoint, path, query, body: None, records: 1 }
    }
}

/// The body that creates or changes one record.
fn wrapped(entity: Entity, record: &str) -> String {
    let mut body = ObjectWriter::with_capacity(record.len() + 40);
    body.json(entity.singular(), record);
    body.finish()
}
