//! What is found of an account: `answers` asks, `verdict` says what the answers mean.

mod answers;
mod verdict;

pub use answers::{
    AccountAnswers, CALLS, EndedEarly, FieldsTried, PerEntity, RightsTried, ServerSeen, Tried,
    accounts_at_once,
};
pub use verdict::{account, account_not_asked};
