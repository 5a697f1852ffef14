//! What is found of an account: `answers` asks and keeps what it `tried`, `verdict` says what the answers mean.

mod answers;
mod tried;
mod verdict;

pub use answers::{AccountAnswers, CALLS, EndedEarly, ServerSeen, accounts_at_once};
pub use tried::{FieldsTried, RightsTried, Tried};
pub use verdict::{account, account_not_asked};
