//! Lets deliveries in: judges each, and decides what is sent, what waits for the account's fields, and what is settled at
//! once. The lane calls it with each delivery and after each turn. It sends nothing itself.

pub(super) mod judge;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::reporting::reports::Reports;
use super::scheduler::Scheduler;
use super::schema_refresh::SchemaRefresh;
use super::settlement::{OpenDelivery, Settler};
use crate::delivery::Delivery;
use crate::mapping::MappingRules;
use crate::outcome::{DeadLetterReason, Outcome};
use crate::runtime::{beside_others, takes_long};
use judge::{Accepts, Addressed, Judged};

/// Large events are judged one at a time, because each takes much memory.
static TURN: Mutex<()> = Mutex::new(());

/// An account's deliveries that are not handed to the scheduler yet.
pub(super) struct Intake {
    accepts: Accepts,
    schema: SchemaRefresh,
    /// Deliveries that wait for the account's fields to be read for the first time, in order.
    unread: VecDeque<Delivery>,
    /// Deliveries that are judged again once fields or selectors are read again, in order, each with the place that is
    /// kept for it in the window.
    in_doubt: VecDeque<(u64, Delivery)>,
}

/// Where deliveries go from the intake.
pub(super) struct Onward<'a> {
    pub(super) scheduler: &'a mut Scheduler<OpenDelivery>,
    pub(super) settler: &'a mut Settler,
    pub(super) reports: &'a mut Reports,
}

impl Intake {
    pub(super) fn new(accepts: Accepts, schema: SchemaRefresh) -> Self {
        Self { accepts, schema, unread: VecDeque::new(), in_doubt: VecDeque::new() }
    }

    /// The account's settings are others from now on. What was handed to the scheduler stays as it was judged.
    pub(super) fn change(&mut self, accepts: Accepts, rules: &MappingRules, now: Instant) {
        self.accepts = accepts;
        self.schema.change_rules(rules, now);
        if self.schema.mapper().is_none() && !self.in_doubt.is_empty() {
            self.schema.request(now);
        }
    }

    pub(super) fn schema(&self) -> &SchemaRefresh {
        &self.schema
    }

    pub(super) fn schema_mut(&mut self) -> &mut SchemaRefresh {
        &mut self.schema
    }

    /// Deliveries that wait for the account's fields to be read for the first time.
    pub(super) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// When the oldest event was queued of those that are not handed to the scheduler.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let in_doubt = self.in_doubt.front().map(|(_, delivery)| delivery);
        [self.unread.front(), in_doubt].into_iter().flatten().map(|delivery| delivery.queued_at).min()
    }

    pub(super) fn take(&mut self, delivery: Delivery, onward: &mut Onward<'_>) {
        // Start the take-over delay on receipt only; doing it in `let_in` would restart it for each held delivery.
        if delivery.redelivered {
            onward.scheduler.redelivered(Instant::now());
        }
        self.let_in(delivery, onward);
    }

    /// Has the scheduler read the fields and selectors that are due.
    pub(super) fn request_schema(&mut self, onward: &mut Onward<'_>) {
        let now = Instant::now();
        for entity in self.schema.fields_to_read(now) {
            onward.scheduler.read_fields(*entity, now);
        }
        for selector in self.schema.selectors_to_read() {
            onward.scheduler.read_selector(selector, now);
        }
    }

    /// Whether deliveries that waited for the account's fields can be let in, because these are read.
    pub(super) fn lets_in_unread(&self) -> bool {
        self.schema.is_settled() && !self.unread.is_empty()
    }

    /// Lets in what waited for fields and selectors that are read.
    pub(super) fn use_schema(&mut self, onward: &mut Onward<'_>) {
        if self.lets_in_unread() {
            for delivery in std::mem::take(&mut self.unread) {
                self.let_in(delivery, onward);
            }
        }
        self.judge_again(onward);
        // Judging again may have shown that more is needed.
        self.request_schema(onward);
    }

    /// Judges the deliveries in doubt again, once what they wait for is read.
    fn judge_again(&mut self, onward: &mut Onward<'_>) {
        if !self.schema.is_settled() {
            return;
        }
        let now = Instant::now();
        for (place, delivery) in std::mem::take(&mut self.in_doubt) {
            let judged = self.judge(&delivery);
            match judged {
                Some(judged) if self.is_in_doubt(&judged, &delivery, Some(place), onward.scheduler, now) => {
                    self.in_doubt.push_back((place, delivery));
                }
                Some(judged) => admit(delivery, judged, Some(place), onward),
                None => {
                    onward.scheduler.leave(place);
                    delivery.receipt.settle(Outcome::Returned, 0);
                }
            }
        }
    }

    /// Gives back what waits for the account's fields. Answers about them will not come.
    pub(super) fn give_back(&mut self, scheduler: &mut Scheduler<OpenDelivery>) {
        for (place, delivery) in std::mem::take(&mut self.in_doubt) {
            scheduler.leave(place);
            self.unread.push_back(delivery);
        }
        for delivery in self.unread.drain(..) {
            delivery.receipt.settle(Outcome::Returned, 0);
        }
    }

    /// Judges a delivery, or lets it wait for the account's fields.
    fn let_in(&mut self, delivery: Delivery, onward: &mut Onward<'_>) {
        let now = Instant::now();
        if self.schema.mapper().is_none() {
            self.schema.request(now);
            self.unread.push_back(delivery);
            return;
        }
        let Some(judged) = self.judge(&delivery) else {
            return delivery.receipt.settle(Outcome::Returned, 0);
        };
        if self.is_in_doubt(&judged, &delivery, None, onward.scheduler, now) {
            let place = onward.scheduler.keep(judged.keys());
            self.in_doubt.push_back((place, delivery));
            return;
        }
        admit(delivery, judged, None, onward);
        self.schema.refresh_when_old(now);
    }

    /// None if judging panicked.
    pub(super) fn judge(&self, delivery: &Delivery) -> Option<Judged> {
        let mapper = self.schema.mapper()?;
        // Judging is pure: a panic in it is a bug about this one event, and must not cost the account its lane.
        let judge = AssertUnwindSafe(|| judge::judge(&delivery.body, &self.accepts, mapper));
        let long = takes_long(&delivery.body);
        let judged = beside_others(long, || {
            let turn = long.then(|| TURN.lock());
            let judged = std::panic::catch_unwind(judge).ok();
            // Whoever waits longest has it next, not this lane with its next event.
            if let Some(turn) = turn {
                MutexGuard::unlock_fair(turn);
            }
            judged
        });
        if judged.is_none() {
            tracing::error!(
                trace_id = delivery.trace_id.map(tracing::field::display),
                "judging an event panicked; it goes back to its source; this is a bug"
            );
        }
        judged
    }

    /// Whether an event is judged again with newer fields: something is wrong with it, and an admin may just have added
    /// the field or choice that it lacks; or an earlier event of its contact is in doubt, which it would overtake.
    fn is_in_doubt(
        &mut self,
        judged: &Judged,
        delivery: &Delivery,
        place: Option<u64>,
        scheduler: &Scheduler<OpenDelivery>,
        now: Instant,
    ) -> bool {
        let complaint = match &judged.verdict {
            Err(Outcome::DeadLetter(refusal)) => Some(refusal.reason),
            Ok(_) if !judged.omitted.is_empty() => Some(DeadLetterReason::InvalidField),
            Ok(_) | Err(Outcome::Delivered | Outcome::Skipped(_) | Outcome::Returned) => None,
        };
        // Ask for both, so that selectors and fields are read at the same time.
        let needs_selectors = self.schema.must_read_selectors(&judged.needs, now);
        let stale =
            complaint.is_some_and(|reason| self.schema.may_be_stale_for(reason, delivery.replayed, now));
        if stale || needs_selectors {
            return true;
        }
        let overtakes = |addressed: &Addressed| scheduler.kept_before(place, &addressed.keys);
        !self.in_doubt.is_empty() && judged.verdict.as_ref().is_ok_and(overtakes)
    }
}

/// Counts a judged delivery, and settles it or hands it to the scheduler. `place` was kept for it.
fn admit(delivery: Delivery, judged: Judged, place: Option<u64>, onward: &mut Onward<'_>) {
    let Onward { scheduler, settler, reports } = onward;
    let Delivery { queued_at, receipt, copied, batch, trace_id, .. } = delivery;
    reports.ignored_traits(judged.ignored);
    if let Some(word) = judged.placeholder {
        reports.placeholder_user_id(word, trace_id);
    }
    let Judged { event_type, message_id, verdict, omitted, .. } = judged;
    settler.open(event_type, queued_at);
    let open = OpenDelivery { event_type, message_id, queued_at, trace_id: trace_id.map(Box::new), receipt };
    let admitted = match verdict {
        // An older copy of another identify may have come between this copy and the first. Copies come in order, so the
        // last one is written again. So are those of a batch that comes twice, if the lane moved in the middle of the first:
        // this replica knows its later events, and writes an earlier one of the second as new.
        Ok(send) if send.is_identify() && (copied || settler.is_writing(batch)) => Some((send, open)),
        Ok(send) => settler.settle_if_duplicate(open).map(|open| (send, open)),
        Err(outcome) => {
            settler.settle(open, outcome, 0);
            None
        }
    };
    let Some((send, open)) = admitted else {
        if let Some(place) = place {
            scheduler.leave(place);
        }
        return;
    };
    settler.begin(&open);
    if send.is_identify() {
        settler.note_batch(batch);
    }
    for omitted in &omitted {
        reports.omitted_value(omitted, trace_id);
    }
    let Addressed { mapped, keys, identity_pair } = send;
    match place {
        Some(place) => scheduler.fill(place, mapped, &keys, identity_pair, open),
        None => scheduler.insert(mapped, &keys, identity_pair, open),
    }
}
