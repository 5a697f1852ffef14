//! One account's lane: from delivery to settlement.
//!
//! ```text
//! Delivery ─judge─► Window ─form─► Unit ─plan─► Call ─quota─► Freshsales ─► answer ─► Outcome ─settle─► receipt
//!                   └──────────── Dispatch: pure ────────────┘
//! ```
//!
//! Knows mapping and Freshsales; where deliveries come from is none of its business.

mod admit;
mod advance;
mod again;
mod bulk;
#[cfg(test)]
mod cost_tests;
mod deals;
mod dispatch;
mod doubt;
mod emails;
mod held;
mod identities;
mod jobs;
mod judge;
mod ledger;
mod limit;
mod memo;
mod memory;
mod merge;
mod omissions;
mod outgoing;
mod placeholders;
mod pulse;
mod quota;
mod reading;
mod remedy;
mod run;
mod state;
mod tags;
mod turn;
mod unit;
mod watch;
mod whose;
mod window;

pub use dispatch::{Dispatch, Effect, Next};
pub use limit::{Patience, Trouble};
pub use pulse::Stuck;
pub use quota::{Grant, Quota};
pub use run::{Lane, Settings};
pub use state::{Board, LaneState, View};
pub use watch::watch;
pub use window::{Key, Window};
