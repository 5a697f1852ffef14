//! The table of Freshsales' endpoints: method, limit, permission, and what a good answer holds.

use reqwest::Method;

use crate::schema::{Entity, Selector};

/// Every endpoint that Freshet calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The fields of an entity.
    Fields(Entity),
    /// The account's users, lifecycle stages or pipelines.
    Selector(Selector),
    /// Create or update one record by its identifier.
    Upsert(Entity),
    /// Create or update up to a hundred records by their identifiers; the answer names a job.
    BulkUpsert(Entity),
    /// The status of a bulk job.
    JobStatus,
    /// One contact with its sales accounts, and its deals if asked for.
    ContactRead,
    /// Change one contact.
    ContactUpdate,
    /// One sales account.
    SalesAccountRead,
    /// Change one sales account.
    SalesAccountUpdate,
    /// One deal.
    DealRead,
    /// Create a deal, even if others have its name: sent twice, it creates two.
    DealCreate,
    /// Change one deal.
    DealUpdate,
    /// Find a contact by `external_id` or by e-mail address.
    Lookup,
    /// Read up to a hundred records at once, contacts by e-mail address and others by name. It sees writes only after a
    /// while.
    Search(Entity),
    /// Report an event.
    TrackEvent,
    /// Report a page view.
    TrackPageView,
}

/// The limit that a call counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetKind {
    /// The account's hourly API quota.
    Api,
    /// The tracking endpoints' own limit.
    Tracking,
}

impl Endpoint {
    /// The `endpoint` label of metrics.
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
            Self::Search(Entity::Contact) => "contact_search",
            Self::Search(Entity::SalesAccount) => "sales_account_search",
            Self::Search(Entity::Deal) => "deal_search",
            Self::TrackEvent => "track_event",
            Self::TrackPageView => "track_page_view",
        }
    }

    /// The HTTP method.
    pub const fn method(self) -> Method {
        match self {
            Self::Fields(_)
            | Self::Selector(_)
            | Self::ContactRead
            | Self::SalesAccountRead
            | Self::DealRead
            | Self::Lookup
            | Self::JobStatus => Method::GET,
            Self::ContactUpdate | Self::SalesAccountUpdate | Self::DealUpdate => Method::PUT,
            Self::Upsert(_)
            | Self::BulkUpsert(_)
            | Self::DealCreate
            | Self::Search(_)
            | Self::TrackEvent
            | Self::TrackPageView => Method::POST,
        }
    }

    /// The limit it counts against, which also decides its credential: the API key or the app token.
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
            | Self::Lookup
            | Self::Search(_) => BudgetKind::Api,
        }
    }

    /// Whether its path holds a record's id, so that a 404 is about that record and not about the path.
    pub const fn has_record_id(self) -> bool {
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
            | Self::Search(_)
            | Self::TrackEvent
            | Self::TrackPageView => false,
        }
    }

    /// The endpoints that it shares a permission and most failures with.
    pub const fn family(self) -> EndpointFamily {
        match self {
            Self::Fields(_) => EndpointFamily::Fields,
            Self::Selector(_) => EndpointFamily::Selectors,
            Self::Upsert(Entity::Contact)
            | Self::BulkUpsert(Entity::Contact)
            | Self::ContactRead
            | Self::ContactUpdate => EndpointFamily::Contacts,
            Self::Upsert(Entity::SalesAccount)
            | Self::BulkUpsert(Entity::SalesAccount)
            | Self::SalesAccountRead
            | Self::SalesAccountUpdate => EndpointFamily::SalesAccounts,
            Self::Upsert(Entity::Deal)
            | Self::BulkUpsert(Entity::Deal)
            | Self::DealRead
            | Self::DealCreate
            | Self::DealUpdate => EndpointFamily::Deals,
            Self::JobStatus => EndpointFamily::Jobs,
            Self::Lookup => EndpointFamily::Lookups,
            Self::Search(_) => EndpointFamily::Searches,
            Self::TrackEvent | Self::TrackPageView => EndpointFamily::Tracking,
        }
    }

    /// What a good answer holds. What the tracking endpoints answer is not documented, so any 2xx counts that is no web
    /// page.
    pub const fn expected_body(self) -> ExpectedBody {
        match self {
            Self::Fields(_) => ExpectedBody::Key("fields"),
            Self::Selector(selector) => ExpectedBody::Key(selector.key()),
            Self::Upsert(entity) => ExpectedBody::Record(entity.singular()),
            Self::ContactRead | Self::ContactUpdate => ExpectedBody::Record(Entity::Contact.singular()),
            Self::SalesAccountRead | Self::SalesAccountUpdate => {
                ExpectedBody::Record(Entity::SalesAccount.singular())
            }
            Self::DealRead | Self::DealCreate | Self::DealUpdate => {
                ExpectedBody::Record(Entity::Deal.singular())
            }
            Self::Lookup => ExpectedBody::LookUp,
            // A job status that cannot be read ends the job as unclear, and a search that cannot be read is not used: asking
            // again would bring the same.
            Self::BulkUpsert(_)
            | Self::JobStatus
            | Self::Search(_)
            | Self::TrackEvent
            | Self::TrackPageView => ExpectedBody::Anything,
        }
    }
}

/// Endpoints that need the same permission and mostly fail together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointFamily {
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
    /// Reading the status of bulk jobs.
    Jobs,
    /// Finding contacts.
    Lookups,
    /// Reading many records at once.
    Searches,
    /// Reporting events and page views.
    Tracking,
}

impl EndpointFamily {
    /// What the API key's user must be allowed to do, to follow "a user who may".
    pub const fn permission(self) -> &'static str {
        match self {
            Self::Fields => "read the settings of fields",
            Self::Selectors => "read users, lifecycle stages and pipelines",
            Self::Contacts => "write contacts",
            Self::SalesAccounts => "write sales accounts",
            Self::Deals => "write deals",
            Self::Jobs => "read the status of jobs",
            Self::Lookups => "look up contacts",
            Self::Searches => "search contacts and sales accounts",
            Self::Tracking => "report events and page views",
        }
    }
}

/// What the body of a 2xx must hold for the call to count as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedBody {
    /// An object under this key that has an `id`.
    Record(&'static str),
    /// This key, whatever its value.
    Key(&'static str),
    /// A list of contacts, which may be empty.
    LookUp,
    /// Nothing in particular.
    Anything,
}
