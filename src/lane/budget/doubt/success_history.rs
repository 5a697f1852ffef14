//! When records of each family of endpoints got through, and how many fail since. Pure.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::freshsales::EndpointFamily;

/// If so many records of a family fail in a row, all of the family are taken to fail, even while reading fields gets
/// through.
const SEVERAL: usize = 3;
/// For how long foreign answers count as intermittent after a suspected record got through.
const INTERMITTENT_FOR: Duration = Duration::from_mins(15);
/// The most that counts of a gap between two successes: the rest may have been an outage.
const LONGEST_GAP: Duration = Duration::from_mins(15);

/// When records of each family of endpoints got through, and which failed since.
#[derive(Debug, Default)]
pub(in crate::lane) struct SuccessHistory {
    families: HashMap<EndpointFamily, FamilyHistory>,
    /// When a suspected record last got through: then foreign answers come and go, and prove less.
    intermittent_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct FamilyHistory {
    last_success: Option<Instant>,
    working_time: Duration,
    /// Records that failed since the last success, at most [`SEVERAL`], with those given up for it: the digests of the
    /// names by which each is known.
    failing: Vec<BTreeSet<u128>>,
}

impl SuccessHistory {
    /// For how long records of a family have got through, all in all.
    pub(in crate::lane) fn working_time(&self, family: EndpointFamily) -> Duration {
        self.families.get(&family).map_or(Duration::ZERO, |history| history.working_time)
    }

    pub(in crate::lane::budget) fn is_intermittent(&self, now: Instant) -> bool {
        self.intermittent_since.is_some_and(|since| now.saturating_duration_since(since) < INTERMITTENT_FOR)
    }

    /// A record got through; `suspected` if others had got through while it had not.
    pub(in crate::lane) fn record_success(&mut self, family: EndpointFamily, suspected: bool, now: Instant) {
        let history = self.families.entry(family).or_default();
        let gap = history.last_success.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        history.working_time += gap.min(LONGEST_GAP);
        history.last_success = Some(now);
        history.failing.clear();
        if suspected {
            self.intermittent_since = Some(now);
        }
    }

    /// A record met a doubtful answer or none. It counts once, however many events write it: two failures that share a
    /// name are of one record.
    pub(in crate::lane) fn record_failure(
        &mut self,
        family: EndpointFamily,
        names: impl IntoIterator<Item = u128>,
    ) {
        let mut names: BTreeSet<u128> = names.into_iter().collect();
        let failing = &mut self.families.entry(family).or_default().failing;
        failing.retain(|other| {
            let same = !other.is_disjoint(&names);
            if same {
                names.extend(other);
            }
            !same
        });
        if failing.len() < SEVERAL {
            failing.push(names);
        }
    }

    pub(in crate::lane) fn several_fail(&self, family: EndpointFamily) -> bool {
        self.families.get(&family).is_some_and(|history| history.failing.len() >= SEVERAL)
    }

    /// The events that failed are gone.
    pub(in crate::lane) fn forget_failures(&mut self) {
        self.families.values_mut().for_each(|history| history.failing.clear());
    }
}
