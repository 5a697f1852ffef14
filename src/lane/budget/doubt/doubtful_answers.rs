//! What a doubtful answer does to its budget once it is due to the account, or as long as nothing shows that it is due to
//! the record. The scheduler's [attribution](super::attribution) calls it.

use std::time::Duration;

use tokio::time::Instant;

use super::attribution::DoubtfulAnswer;
use crate::freshsales::BudgetKind;
use crate::lane::budget::attempt::CallClass;
use crate::lane::budget::{Budget, Impediment};

impl Budget {
    /// The API refused the credentials for a call. Where that call was not about fields, one that is asks at once.
    pub(in crate::lane) fn refuse_credentials(
        &mut self,
        answer: &DoubtfulAnswer,
        class: CallClass,
        now: Instant,
    ) {
        let wait = match class {
            CallClass::Check | CallClass::Read => self.waits.unauthorized.following(),
            CallClass::Work => Duration::ZERO,
        };
        self.admit_fields_only(answer, wait, now);
    }

    pub(in crate::lane::budget) fn admit_fields_only(
        &mut self,
        answer: &DoubtfulAnswer,
        wait: Duration,
        now: Instant,
    ) {
        self.block_all_but_fields(now, wait);
        let (kind, why) = self.explain(answer);
        // A wait below one second would read as none.
        let why =
            if wait.is_zero() { why } else { format!("{why}; asking again in {} s", wait.as_secs().max(1)) };
        self.impediment = Some((kind, why));
    }

    pub(in crate::lane::budget) fn explain(&self, answer: &DoubtfulAnswer) -> (Impediment, String) {
        let credential = match self.kind {
            BudgetKind::Api => "api_key",
            BudgetKind::Tracking => "app_token",
        };
        let (kind, why) = answer.impediment(credential);
        match self.not_found_hint.filter(|_| answer.says_not_found()) {
            Some(hint) => (kind, format!("{why}; {hint}")),
            None => (kind, why),
        }
    }

    /// A call met a doubtful answer where no harmless call can tell whose fault it is. `several` other records did, too.
    pub(in crate::lane) fn met(
        &mut self,
        answer: &DoubtfulAnswer,
        several: bool,
        number: u64,
        probe: bool,
        now: Instant,
    ) {
        // Calls that were in flight when the wait began say nothing new: they do not lengthen it.
        if !self.breaker.is_closed() && !probe {
            return;
        }
        self.impediment = Some(self.explain(answer));
        match answer {
            DoubtfulAnswer::Denied(..) if !several => {}
            DoubtfulAnswer::Unauthorized(_) | DoubtfulAnswer::Denied(..) => {
                let wait = self.waits.unauthorized.following();
                self.block(now, wait);
            }
            DoubtfulAnswer::Unrecognized(_) if several => self.count_failure(number, now),
            DoubtfulAnswer::Unrecognized(_) => {
                if self.is_outage() {
                    self.block_unavailable(now);
                }
            }
        }
    }
}
