//! Finds the one reason why a lane waits, from the scheduler, the schema and the lease. The runner asks at each turn, and
//! hands the reason to the [`status`](crate::lane::status).

use tokio::time::Instant;

use crate::freshsales::BudgetKind;
use crate::lane::budget::Impediment;
use crate::lane::intake::Intake;
use crate::lane::scheduler::Scheduler;
use crate::lane::settlement::OpenDelivery;
use crate::lane::status::wait::{Wait, WaitReason};

/// Whether the source has shown lately that the lane's deliveries are still this replica's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lane) enum LeaseState {
    Holds,
    Lapsed,
}

/// Why the lane waits, if not only for an answer.
pub(in crate::lane) fn find_wait<'a>(
    scheduler: &'a Scheduler<OpenDelivery>,
    intake: &'a Intake,
    lease: LeaseState,
    now: Instant,
) -> Option<Wait<'a>> {
    let schema = intake.schema();
    let impediment = [BudgetKind::Api, BudgetKind::Tracking]
        .into_iter()
        .filter_map(|budget| scheduler.impediment(budget))
        .min_by_key(|(kind, _)| *kind);
    let why = impediment.map(|(_, why)| why.as_str());
    let reason = match impediment.map(|(kind, _)| *kind) {
        Some(Impediment::Unauthorized) => Some(WaitReason::Unauthorized),
        Some(Impediment::Throttled) => Some(WaitReason::Throttled),
        Some(Impediment::Retrying) => Some(WaitReason::Outage),
        None if lease == LeaseState::Lapsed => Some(WaitReason::Lease),
        None if scheduler.taking_over(now) => Some(WaitReason::TakeOver),
        None if schema.is_pausing() => Some(WaitReason::SchemaOfRelated),
        None if scheduler.retrying() => Some(WaitReason::Retry),
        None if scheduler.starved() => Some(WaitReason::Quota),
        None => None,
    };
    if intake.unread() == 0 {
        return reason.map(|reason| Wait { reason, why });
    }
    Some(match reason {
        Some(WaitReason::Unauthorized) => Wait { reason: WaitReason::Unauthorized, why },
        Some(WaitReason::SchemaOfRelated) => {
            Wait { reason: WaitReason::SchemaRetry, why: schema.last_failure() }
        }
        Some(_) => Wait { reason: WaitReason::SchemaBlocked, why },
        None => Wait { reason: WaitReason::Schema, why: None },
    })
}
