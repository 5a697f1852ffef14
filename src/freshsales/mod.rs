//! Freshsales' API: its endpoints, how they are called, and what an answer means. The only user of `reqwest`.
//!
//! Must know nothing of events, lanes or brokers, and never retries: the lane, which calls it, is the one layer that does.

mod answer;
mod call;
mod classify;
mod client;
mod contact;
mod deals;
mod endpoint;
mod gateway;
mod job;
mod limits;
mod messages;
mod reach;
mod record;
mod search;
#[cfg(test)]
mod tests;
mod verdict;

pub use answer::{Answer, Body, NoAnswer, RawResponse};
pub use call::{Call, Identifier};
pub use classify::{classify, is_about_record};
pub use client::{Client, Credentials, HttpTransport};
pub use contact::{
    FoundContact, SalesAccountLink, emails_of, found_contact, found_email, found_owner,
    has_another_external_id, is_another_contact, linked_accounts,
};
pub use deals::{ShownDeal, ShownDeals, custom_fields, deal_named, shown_deals};
pub use endpoint::{BudgetKind, Endpoint, EndpointFamily, ExpectedBody};
pub use gateway::{Gateway, host_wide_wait};
pub use job::{BULK_JOB_LIMIT, FailedRow, JobStatus, job_id, read_job_status};
pub use limits::{RateLimit, retry_after};
pub use reach::{ReachStep, Reached, Unreached};
pub use record::{record_id, tags_of};
pub use search::{ContactRow, ContactRows, found_contacts, found_sales_accounts};
pub use verdict::{UnavailableCause, UnrecognizedAnswer, Verdict};
