//! What the survey was made for.

use jiff::Timestamp;

use crate::broker::Names;
use crate::delivery::AccountName;

/// Of the configuration, for which the broker was surveyed.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "as in the configuration")]
pub struct BrokerContext<'a> {
    pub names: &'a Names,
    pub replica: &'a str,
    /// Those whose lanes were looked at.
    pub accounts: &'a [AccountName],
    /// For what ends.
    pub now: Timestamp,
}
