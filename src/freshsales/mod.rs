//! Freshsales' API: what can be called, how, and what an answer means. The only user of `reqwest`.
//!
//! Knows [`crate::schema`]; nothing of events, lanes or brokers. It never retries: one layer does, the lane.

mod answer;
mod call;
mod client;
mod contact;
mod deals;
#[cfg(test)]
mod fuzz_tests;
mod gateway;
mod job;
mod limits;

pub use answer::{
    Answer, Body, NoAnswer, Sight, UnavailableCause, Verdict, classify, condemns, is_another_contact,
    linked_accounts, record_id, shown_tags,
};
pub use call::{BudgetKind, Call, Endpoint, Expected, Family, Identifier, Link};
pub use client::{Client, Credentials, RawResponse, Transport};
pub use contact::{
    FoundContact, emails_of, found_contact, found_email, found_owner, has_another_external_id,
};
pub use deals::{ShownDeal, ShownDeals, custom_fields, deal_named, shown_deals};
pub use gateway::{Gateway, asked as asked_by_gateway};
pub use job::{BULK_JOB_LIMIT, Failure, Job, job_id, read_job};
pub use limits::{RateLimit, retry_after};
