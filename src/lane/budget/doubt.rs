//! Whose fault an answer is that may be the record's or everybody's: a 403, a web page, a path that is not there. Other
//! calls that get through meanwhile tell. Where nothing else is on its way, a harmless call is made to find out: it reads
//! fields. Pure; the dispatch asks here after every answer.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::Impediment;
use crate::freshsales::{BudgetKind, Call, EndpointGroup, UnrecognizedAnswer, Verdict};
use crate::lane::scheduler::calls::{Ground, Outgoing, Purpose, Refused};
use crate::lane::scheduler::{Effect, Scheduler};
use crate::schema::Entity;

/// So many different records of a family in a row are taken for all of them, even while the harmless call gets through.
const SEVERAL: usize = 3;
/// So often a record must have met a foreign answer before it is refused for it.
const LEAST_TRIES: u32 = 4;
/// The same for records that go together, which are then done one by one.
const GROUP_TRIES: u32 = 2;
/// The same where foreign answers come and go, so that a record may meet several in a row by chance.
const FICKLE_TRIES: u32 = 40;
const FICKLE_GROUP_TRIES: u32 = 8;
/// For so long foreign answers are taken to come and go after one record got through that had been suspected.
const FICKLE_FOR: Duration = Duration::from_mins(15);
/// What gets through later than this after an odd answer does not decide: what everybody met may have been mended since.
/// Then the record is tried again.
const TIMELY: Duration = Duration::from_secs(30);
/// When to try again, in sixtieths of the time after which the record is refused.
const WAITS: [u32; 5] = [1, 4, 15, 20, 20];
/// Of a longer gap between two records that got through the rest is not counted: it may have been an outage.
const LONGEST_GAP: Duration = Duration::from_mins(15);

/// An answer that is open to doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lane) enum Oddity {
    /// In the API's own words, or a gateway's.
    Denied(u16, Vec<String>),
    /// Not the API's.
    Foreign(UnrecognizedAnswer),
    /// The credentials are refused.
    Unauthorized(u16),
}

impl Oddity {
    pub(in crate::lane) fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Denied { status, messages } => Some(Self::Denied(*status, messages.clone())),
            Verdict::Unrecognized(sight) => Some(Self::Foreign(*sight)),
            Verdict::Unauthorized { status } => Some(Self::Unauthorized(*status)),
            Verdict::Done(_)
            | Verdict::Refused { .. }
            | Verdict::Throttled { .. }
            | Verdict::TooManyJobs
            | Verdict::Unavailable { .. } => None,
        }
    }

    /// Whether it says that there is nothing at the address.
    pub(in crate::lane) fn is_not_there(&self) -> bool {
        let (Self::Denied(status, _)
        | Self::Unauthorized(status)
        | Self::Foreign(UnrecognizedAnswer { status, .. })) = self;
        matches!(status, 404 | 410)
    }

    /// The lane's trouble, and why, where it is everybody's.
    pub(in crate::lane) fn trouble(&self, credential: &str) -> (Impediment, String) {
        match self {
            Self::Unauthorized(status) | Self::Denied(status @ 403, _) => {
                (Impediment::Unauthorized, format!("Freshsales answered {status}: check {credential}"))
            }
            Self::Denied(status, _) => {
                let why = format!("Freshsales answered {status}: was the account renamed? check url");
                (Impediment::Retrying, why)
            }
            Self::Foreign(sight) => (
                Impediment::Retrying,
                format!("not Freshsales' API answered, but {sight}: {}", sight.advice()),
            ),
        }
    }
}

/// What a call met that may be its own fault.
#[derive(Debug)]
pub(in crate::lane) struct Doubt {
    /// The last such answer.
    oddity: Oddity,
    /// When the first one came.
    first: Instant,
    /// When the last one came, if no other call has told yet what it means.
    open: Option<Instant>,
    /// Another call got through since then, but so late that only a further such answer counts.
    late: bool,
    /// How often others got through while this one did not.
    strikes: u32,
    /// Another record of the family got through since the first one.
    others: bool,
}

impl Doubt {
    /// Whether the call is to be given up. Where several records go together, only to be done one by one.
    fn decides(&self, single: bool, fickle: bool, patience: Duration, now: Instant) -> bool {
        let (least, group) =
            if fickle { (FICKLE_TRIES, FICKLE_GROUP_TRIES) } else { (LEAST_TRIES, GROUP_TRIES) };
        let together = self.strikes >= group && !single;
        match &self.oddity {
            // Credentials are the account's, whoever is asked about: no record is refused for them. But one of several may
            // be what they are asked for, and the others need not wait for it.
            Oddity::Unauthorized(_) => together,
            Oddity::Denied(..) => self.strikes > 0,
            Oddity::Foreign(_) => {
                together || self.strikes >= least && now.saturating_duration_since(self.first) >= patience
            }
        }
    }

    /// Whether a call of one budget that gets through says anything about one of the other. The app token is tried by
    /// tracks and pages only; what is no answer of Freshsales has nothing to do with it.
    fn can_be_told_by(&self, through: BudgetKind, own: BudgetKind) -> bool {
        through == own || through == BudgetKind::Api && matches!(self.oddity, Oddity::Foreign(_))
    }

    fn refused(&self, family: EndpointGroup) -> Refused {
        match &self.oddity {
            Oddity::Denied(status, messages) => {
                let right = (*status == 403).then_some(family);
                Refused { status: Some(*status), ground: Ground::Denied(right, messages.clone()) }
            }
            Oddity::Foreign(sight) => {
                let why = format!("was answered with {sight} each time, while others got through");
                Refused { status: Some(sight.status), ground: Ground::Seen(why) }
            }
            Oddity::Unauthorized(status) => {
                let why = format!("was answered with status {status} each time, while others got through");
                Refused { status: Some(*status), ground: Ground::Seen(why) }
            }
        }
    }
}

/// What is known of each family of endpoints: when its records got through, and which did not.
#[derive(Debug, Default)]
pub(in crate::lane) struct Passages {
    families: HashMap<EndpointGroup, Passage>,
    /// When a record last got through that had met foreign answers while others got through: they come and go, and say
    /// less about a record.
    fickle: Option<Instant>,
}

#[derive(Debug, Default)]
struct Passage {
    worked: Option<Instant>,
    /// For how long records have got through, all in all.
    through: Duration,
    /// Units that met something odd or no answer since one got through, those that were given up for it included.
    odd: BTreeSet<u64>,
}

impl Passages {
    /// For how long records of a family have got through, all in all.
    pub(in crate::lane) fn through(&self, family: EndpointGroup) -> Duration {
        self.families.get(&family).map_or(Duration::ZERO, |passage| passage.through)
    }

    fn are_fickle(&self, now: Instant) -> bool {
        self.fickle.is_some_and(|since| now.saturating_duration_since(since) < FICKLE_FOR)
    }

    fn got_through(&mut self, family: EndpointGroup, now: Instant) {
        let passage = self.families.entry(family).or_default();
        let gap = passage.worked.map_or(Duration::ZERO, |worked| now.saturating_duration_since(worked));
        passage.through += gap.min(LONGEST_GAP);
        passage.worked = Some(now);
        passage.odd.clear();
    }

    pub(in crate::lane) fn odd(&mut self, family: EndpointGroup, unit: u64) {
        let odd = &mut self.families.entry(family).or_default().odd;
        if odd.len() < SEVERAL {
            odd.insert(unit);
        }
    }

    fn several(&self, family: EndpointGroup) -> bool {
        self.families.get(&family).is_some_and(|passage| passage.odd.len() >= SEVERAL)
    }

    /// None of the units that met something odd is there any more.
    pub(in crate::lane) fn forget_units(&mut self) {
        self.families.values_mut().for_each(|passage| passage.odd.clear());
    }
}

impl<D> Scheduler<D> {
    /// A call met something odd. It waits; what it means, other calls must tell.
    pub(in crate::lane) fn accuse(
        &mut self,
        number: u64,
        mut outgoing: Outgoing,
        oddity: Oddity,
        now: Instant,
    ) -> Vec<Effect<D>> {
        let endpoint = outgoing.call.endpoint;
        let (family, budget) = (outgoing.family(), endpoint.budget());
        if let Purpose::Step(unit) = outgoing.purpose {
            self.passages.odd(family, unit);
        }
        let several = self.passages.several(family);
        let doubt = outgoing.doubt.get_or_insert_with(|| Doubt {
            oddity: oddity.clone(),
            first: now,
            open: None,
            late: false,
            strikes: 0,
            others: false,
        });
        doubt.oddity = oddity;
        doubt.open = Some(now);
        doubt.strikes += u32::from(std::mem::take(&mut doubt.late));
        let turn = usize::try_from(doubt.strikes).unwrap_or(usize::MAX);
        let wait = WAITS.get(turn).or(WAITS.last()).copied().unwrap_or_default();
        let oddity = doubt.oddity.clone();
        let others = doubt.others;
        // Without a strike it would come again at the first wait for ever.
        let patient = outgoing.delays.following();
        let again = (self.patience.foreign / 60 * wait).max(if doubt.strikes == 0 {
            patient
        } else {
            Duration::ZERO
        });
        let (asks, probe) = (outgoing.purpose.is_harmless(), outgoing.probe);
        self.calls.insert(number, outgoing);
        self.due.insert((now + again, number));
        self.stand_aside(number);
        match budget {
            // No harmless call takes the app token: other tracks are the best that can be had.
            BudgetKind::Tracking => {
                self.tracking.met(&oddity, several, number, probe, now);
                if matches!(oddity, Oddity::Foreign(_)) && (others || !several) {
                    self.check(Entity::Contact, now);
                }
            }
            BudgetKind::Api => {
                if matches!(oddity, Oddity::Unauthorized(_)) && !self.api.is_shut() {
                    self.api.refused(&oddity, asks, now);
                }
                self.check(if asks { Entity::SalesAccount } else { Entity::Contact }, now);
            }
        }
        self.decide(number, now)
    }

    /// Asks something harmless, unless that is done already.
    fn check(&mut self, entity: Entity, now: Instant) {
        if !self.api.is_shut() && !self.checking() {
            self.enqueue(Call::fields(entity), Purpose::Check(entity), now);
        }
    }

    pub(in crate::lane) fn checking(&self) -> bool {
        self.calls.values().any(|outgoing| matches!(outgoing.purpose, Purpose::Check(_)))
    }

    /// A call that was sent at this time got through: the API is there, and lets the account in.
    pub(in crate::lane) fn clear(&mut self, through: &Outgoing, now: Instant) -> Vec<Effect<D>> {
        let Some(sent) = through.sent else { return Vec::new() };
        let (family, budget) = (through.call.endpoint.group(), through.call.endpoint.budget());
        // What is read before a call is sent again says nothing of calls that write: a wall may stand before those alone.
        let record = !through.purpose.is_harmless() && through.unsure.is_none();
        if record {
            self.passages.got_through(family, now);
            let suspected = |doubt: &Doubt| doubt.strikes > 0 && matches!(doubt.oddity, Oddity::Foreign(_));
            if through.doubt.as_ref().is_some_and(suspected) {
                self.passages.fickle = Some(now);
            }
        }
        let mut decided = Vec::new();
        let mut suspects = Vec::new();
        let mut again = Vec::new();
        for (number, outgoing) in &mut self.calls {
            let (endpoint, own) = (outgoing.call.endpoint, outgoing.family());
            let Some(doubt) = outgoing.doubt.as_mut() else { continue };
            let alike = record && own == family;
            doubt.others |= alike && sent >= doubt.first;
            if doubt.open.is_none_or(|open| sent < open) || !doubt.can_be_told_by(budget, endpoint.budget()) {
                continue;
            }
            if doubt.open.is_some_and(|open| now.saturating_duration_since(open) > TIMELY) {
                (doubt.open, doubt.late) = (None, true);
                again.push(*number);
                continue;
            }
            let foreign = matches!(doubt.oddity, Oddity::Foreign(_));
            if foreign && !alike && !doubt.others && self.passages.several(own) {
                doubt.open = None;
                if endpoint.budget() == BudgetKind::Api {
                    suspects.push(*number);
                }
                continue;
            }
            doubt.open = None;
            doubt.strikes += 1;
            if self.due.iter().any(|(_, due)| due == number) {
                decided.push(*number);
            }
        }
        for number in suspects {
            self.api.suspect(number, now);
        }
        for number in again {
            if let Some(due) = self.due.iter().find(|(_, due)| *due == number).copied() {
                self.due.remove(&due);
                self.due.insert((now, number));
            }
        }
        decided.sort_unstable();
        decided.into_iter().flat_map(|number| self.decide(number, now)).collect()
    }

    /// The harmless call did not get through either: what was in doubt is everybody's, whatever gets through later.
    pub(in crate::lane) fn acquit(&mut self) {
        for doubt in self.calls.values_mut().filter_map(|outgoing| outgoing.doubt.as_mut()) {
            (doubt.open, doubt.late) = (None, false);
        }
    }

    /// Gives a call up if enough is known of it.
    fn decide(&mut self, number: u64, now: Instant) -> Vec<Effect<D>> {
        let Some(outgoing) = self.calls.get(&number) else { return Vec::new() };
        let single = self.is_single(&outgoing.purpose);
        let fickle = self.passages.are_fickle(now);
        let Some(refused) = outgoing
            .doubt
            .as_ref()
            .filter(|doubt| doubt.decides(single, fickle, self.patience.foreign, now))
            .map(|doubt| doubt.refused(outgoing.family()))
        else {
            return Vec::new();
        };
        let Some(outgoing) = self.calls.remove(&number) else { return Vec::new() };
        self.due.retain(|(_, due)| *due != number);
        self.conclude(outgoing, Err(refused), now)
    }

    /// Whether a call is about one event alone.
    fn is_single(&self, purpose: &Purpose) -> bool {
        match purpose {
            Purpose::Step(unit) => self.units.get(unit).is_none_or(|unit| unit.events.len() <= 1),
            // What was submitted may still end well: it is asked about as patiently as one record.
            Purpose::Poll(_) => true,
            Purpose::Fields(_) | Purpose::Selector(_) | Purpose::Check(_) | Purpose::Bulk(_) => false,
        }
    }
}
