//! What `freshet check` finds: of the configuration, the broker and each account, and what to do about it.
//!
//! The verdicts are pure; `broker::survey` and [`AccountAnswers::ask`] get the facts. Nothing is written anywhere, but for
//! an empty message to the probe's queue. Must not know how findings are shown. Called by the command.

mod account;
mod broker;
mod certificate;
mod configuration;
mod finding;
mod words;

pub use account::{
    AccountAnswers, CALLS, EndedEarly, FieldsTried, RightsTried, ServerSeen, Tried, account,
    account_not_asked, accounts_at_once,
};
pub use broker::{BrokerContext, broker, broker_not_asked};
pub use configuration::{ConfigurationFacts, SecretFile, SecretsState, configuration};
pub use finding::{CheckStatus, Finding, Subject};
