//! One account's lane: from delivery to settlement.
//!
//! ```text
//! Delivery ─judge─► Window ─deliver─► Courier ─► Freshsales ─► Outcome ─settle─► receipt
//! ```
//!
//! Knows mapping and Freshsales; where deliveries come from is none of its business.

mod courier;
mod deliver;
mod judge;
mod ledger;
mod memory;
mod quota;
mod run;
mod state;
mod window;

pub use courier::Patience;
pub use quota::{Era, Grant, Quota};
pub use run::{Lane, Settings};
pub use state::{Board, LaneState, View};
pub use window::{Key, Window};
