//! Freshsales' API: its endpoints, how they are called, and what an answer means. The only user of `reqwest`.
//!
//! Must know nothing of events, lanes or brokers, and never retries: the lane, which calls it, is the one layer that does.

mod activity_calls;
mod answers;
mod call;
mod client;
mod endpoint;
mod reach;
mod records;
#[cfg(test)]
mod tests;

pub use answers::answer::{Answer, Body, NoAnswer, RawResponse};
pub use answers::classify::{classify, is_about_record};
pub use answers::gateway::{Gateway, host_wide_wait};
pub use answers::limits::{RateLimit, retry_after};
pub use answers::verdict::{UnavailableCause, UnrecognizedAnswer, Verdict};
pub use call::{Call, Identifier};
pub use client::{Client, Credentials, HttpTransport};
pub use endpoint::{BudgetKind, Endpoint, EndpointFamily, ExpectedBody};
pub use reach::{ReachStep, Reached, Unreached};
pub use records::contact::{
    FoundContact, SalesAccountLink, emails_of, found_contact, found_email, found_owner,
    has_another_external_id, is_another_contact, linked_accounts,
};
pub use records::deals::{ShownDeal, ShownDeals, custom_fields, deal_named, shown_deals};
pub use records::job::{BULK_JOB_LIMIT, FailedRow, JobStatus, job_id, read_job_status};
pub use records::record::{record_id, tags_of};
pub use records::search::{ContactRow, ContactRows, found_contacts, found_sales_accounts};
