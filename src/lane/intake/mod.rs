//! Lets deliveries in: judges each, and decides what is sent, what waits for the account's fields, and what shares the end
//! of another delivery. Called by the lane's loop; sends nothing itself.

pub(super) mod judge;
pub(super) mod omissions;
pub(super) mod placeholders;

use std::panic::AssertUnwindSafe;

use tokio::time::Instant;

use super::dedup::Seen;
use super::runner::Lane;
use super::settlement::OpenDelivery;
use crate::delivery::Delivery;
use crate::lane::status::lane_status::Phase;
use crate::mapping::Mapped;
use crate::outcome::{DeadLetterReason, Outcome, SkipReason};
use judge::{Judged, Send};

impl Lane {
    /// Takes one delivery that has just come.
    pub(super) fn take(&mut self, delivery: Delivery) {
        // The take-over wait starts on receipt only: in `let_in` it would start again for each delivery judged later.
        if delivery.redelivered {
            self.dispatch.redelivered(Instant::now());
        }
        self.let_in(delivery);
    }

    /// Asks for the fields that are wanted, and judges what waited for them once they are there.
    pub(super) fn read_fields(&mut self) {
        let now = Instant::now();
        for entity in self.reading.ask(now) {
            self.dispatch.read_fields(*entity, now);
        }
        self.read_selectors(now);
        if !self.reading.settled() {
            return;
        }
        if !self.unread.is_empty() {
            self.board.phase(Phase::Active);
            for delivery in std::mem::take(&mut self.unread) {
                self.let_in(delivery);
            }
        }
        for (place, delivery) in std::mem::take(&mut self.doubted) {
            match self.judge(&delivery) {
                Some(judged) if self.in_doubt(&judged, Some(place), now) => {
                    self.doubted.push_back((place, delivery));
                }
                Some(judged) => self.admit(delivery, judged, Some(place)),
                None => {
                    self.dispatch.leave(place);
                    delivery.receipt.settle(Outcome::Returned, 0);
                }
            }
        }
        // One that was read may have shown the need of another.
        self.read_selectors(now);
    }

    fn read_selectors(&mut self, now: Instant) {
        for selector in self.reading.ask_selectors() {
            self.dispatch.read_selector(selector, now);
        }
    }

    /// Gives back what waits for the account's fields.
    pub(super) fn give_back_unjudged(&mut self) {
        for (place, delivery) in std::mem::take(&mut self.doubted) {
            self.dispatch.leave(place);
            self.unread.push_back(delivery);
        }
        for delivery in self.unread.drain(..) {
            delivery.receipt.settle(Outcome::Returned, 0);
        }
    }

    /// Judges a delivery, or lets it wait for the account's fields.
    fn let_in(&mut self, delivery: Delivery) {
        let now = Instant::now();
        if self.reading.mapper().is_none() {
            self.reading.want(now);
            self.board.phase(Phase::WaitingForSchema);
            self.unread.push_back(delivery);
            return;
        }
        self.board.phase(Phase::Active);
        let Some(judged) = self.judge(&delivery) else {
            return delivery.receipt.settle(Outcome::Returned, 0);
        };
        if self.in_doubt(&judged, None, now) {
            let place = self.dispatch.keep(judged.names());
            self.doubted.push_back((place, delivery));
            return;
        }
        self.admit(delivery, judged, None);
        self.reading.refresh_when_old(now);
    }

    /// What a delivery is; none if finding out panicked.
    fn judge(&self, delivery: &Delivery) -> Option<Judged> {
        let mapper = self.reading.mapper()?;
        let (types, can_track) = (&self.types, self.client.can_track());
        // Judging is pure: a panic in it is a bug about this one event, and must not cost the account its lane.
        let judge = AssertUnwindSafe(|| judge::judge(&delivery.body, types, can_track, mapper));
        let judged = std::panic::catch_unwind(judge).ok();
        if judged.is_none() {
            tracing::error!("judging an event panicked; it goes back to its source; this is a bug");
        }
        judged
    }

    /// Whether an event is judged again with newer fields. Something is wrong with it, and an admin may just have added the
    /// field or the choice that is missed; or that is so of one of its contact before it, which it would overtake.
    fn in_doubt(&mut self, judged: &Judged, place: Option<u64>, now: Instant) -> bool {
        let complaint = match &judged.verdict {
            Err(Outcome::DeadLetter(refusal)) => Some(refusal.reason),
            Ok(_) if !judged.omitted.is_empty() => Some(DeadLetterReason::InvalidField),
            Ok(_) | Err(Outcome::Delivered | Outcome::Skipped(_) | Outcome::Returned) => None,
        };
        // Both are asked, so that both are read at once.
        let lacks = self.reading.lacks(&judged.needs, now);
        if complaint.is_some_and(|reason| self.reading.doubts(reason, now)) || lacks {
            return true;
        }
        let behind = |send: &Send| self.dispatch.kept_before(place, &send.keys);
        !self.doubted.is_empty() && judged.verdict.as_ref().is_ok_and(behind)
    }

    /// Counts a delivery that is judged, and settles it or hands it on to be sent. `place` was kept for it.
    fn admit(&mut self, delivery: Delivery, judged: Judged, place: Option<u64>) {
        self.metrics.traits_ignored.inc_by(judged.ignored.len() as u64);
        if let Some(word) = judged.placeholder {
            self.placeholders.tell(word, Instant::now());
        }
        let Delivery { queued_at, receipt, copied, .. } = delivery;
        self.ledger.open(judged.kind);
        let debt = OpenDelivery { kind: judged.kind, message_id: judged.message_id, queued_at, receipt };
        let (send, debt) = match judged.verdict {
            Ok(send) => match self.settle_or_join_duplicate(&send, copied, debt) {
                Some(debt) => (send, debt),
                None => return self.leave(place),
            },
            Err(outcome) => {
                self.leave(place);
                return self.ledger.settle(debt, outcome, 0);
            }
        };
        if let Some(id) = &debt.message_id {
            self.messages.begin(id);
        }
        self.metrics.values_omitted.inc_by(judged.omitted.len() as u64);
        for omitted in &judged.omitted {
            self.omissions.tell(omitted, Instant::now());
        }
        let Send { mapped, keys, taught } = send;
        match place {
            Some(place) => self.dispatch.fill(place, mapped, &keys, taught, debt),
            None => self.dispatch.insert(mapped, &keys, taught, debt),
        }
        self.show_trouble();
    }

    fn leave(&mut self, place: Option<u64>) {
        if let Some(place) = place {
            self.dispatch.leave(place);
        }
    }

    /// Settles a duplicate of a delivered message, and lets a duplicate of one on its way wait for that one's end; any other
    /// debt is given back. RabbitMQ may hand out the same queue entry twice, so acknowledging the second before the first
    /// is settled could remove the only copy.
    fn settle_or_join_duplicate(
        &mut self,
        send: &Send,
        copied: bool,
        debt: OpenDelivery,
    ) -> Option<OpenDelivery> {
        // An older copy of another identify may have come between this one and its like: then the last copy must win
        // again. Copies come in order.
        if copied && matches!(send.mapped, Mapped::Contact(_)) {
            return Some(debt);
        }
        let Some(id) = debt.message_id.clone() else { return Some(debt) };
        match self.messages.seen(&id) {
            Seen::Not => Some(debt),
            Seen::UnderWay => self.messages.join(&id, debt).err(),
            Seen::Delivered => {
                self.ledger.settle(debt, Outcome::Skipped(SkipReason::Duplicate), 0);
                None
            }
        }
    }
}
