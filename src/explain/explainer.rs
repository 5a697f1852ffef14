//! Puts together what is said of one event: asks routing, the lane's judge, the mapping and the foreseen calls.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::num::NonZeroUsize;

use bytes::Bytes;
use lru::LruCache;
use siphasher::sip::SipHasher13;
use tokio::time::Instant;

use super::account_fields::AccountFields;
use super::explanation::{Ends, Explanation, IgnoredTrait, MappedTrait};
use super::foresight::{Foreseen, foresee};
use super::risk::{Risk, filled};
use crate::config::AccountConfig;
use crate::delivery::AccountName;
use crate::file_feed::FileRead;
use crate::lane::{Accepts, Judged, judge_recording};
use crate::mapping::{FoundBy, Ignored, Mapper, NO_SUCH_FIELD, Omitted, SetField};
use crate::outcome::{Outcome, Refusal, SkipReason};
use crate::schema::{Entity, Selectors};
use crate::segment::{Glimpse, deciding_integration, has_own_trait};

/// As many `messageId`s as a lane remembers.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// Explains the events of all accounts.
pub struct Explainer {
    accounts: HashMap<AccountName, AccountExplainer>,
    /// Digests of account and `messageId` of events that are delivered, and their lines.
    delivered: LruCache<u64, u64>,
}

/// Explains the events of one account.
pub struct AccountExplainer {
    account: AccountConfig,
    accepts: Accepts,
    mapper: Mapper,
    /// The fields' names for people.
    labels: HashMap<(Entity, String), String>,
}

impl AccountExplainer {
    /// For an account with these fields.
    pub fn new(account: &AccountConfig, fields: &AccountFields) -> Self {
        let schema = fields.schema();
        let mut labels = HashMap::new();
        for entity in Entity::ALL {
            for field in &schema.of(*entity).fields {
                labels.insert((*entity, field.name.clone()), field.label.clone());
            }
        }
        let mut mapper = Mapper::new(account.mapping.clone(), schema).with_gaps(fields.gaps().to_vec());
        mapper.set_selectors(fields.selectors());
        let accepts = Accepts::of(account, account.access.app_token.is_some());
        Self { account: account.clone(), accepts, mapper, labels }
    }

    /// Replaces what is known of the account's selectors.
    pub fn set_selectors(&mut self, selectors: Selectors) {
        self.mapper.set_selectors(selectors);
    }

    /// Explains one event's body.
    pub fn explain(&self, body: &Bytes, now: Instant) -> Explanation {
        let judged = judge_recording(body, &self.accepts, &self.mapper);
        let mut explanation = self.judged(body, &judged);
        match &judged.verdict {
            Ok(send) => {
                explanation.foreseen = foresee(&self.account, send, body, now);
                explanation.risks = Risk::of(&send.mapped, &explanation.foreseen);
                explanation.filled = filled(&send.mapped);
            }
            Err(Outcome::DeadLetter(refusal)) => explanation.refuse(refusal),
            Err(Outcome::Skipped(reason)) => explanation.ends = Ends::Skip(*reason),
            // Not reached: judging settles nothing else.
            Err(Outcome::Delivered | Outcome::Returned) => {}
        }
        if explanation.ends == Ends::Skip(SkipReason::IntegrationDisabled)
            && let Some(entry) = deciding_integration(body)
        {
            explanation.notes.push(format!("`integrations` has {entry}"));
        }
        if let Some(word) = judged.placeholder {
            explanation.notes.push(format!("`userId` is `{word}`, which names nobody and counts as absent"));
        }
        explanation
    }

    fn judged(&self, body: &Bytes, judged: &Judged) -> Explanation {
        let mapped = judged.recorded.set.iter().filter(|set| !is_left_out(set, &judged.omitted));
        let ignored = judged.recorded.ignored.iter().map(|ignored| self.ignored(ignored));
        let nulls = judged.recorded.nulls.iter().map(|(_, path)| IgnoredTrait {
            trait_path: path.clone(),
            nearest: None,
            why: "null counts as absent".to_owned(),
        });
        let omitted = judged.omitted.iter().map(|omitted| IgnoredTrait {
            trait_path: omitted.trait_path.clone(),
            nearest: None,
            why: format!("left out by `invalid_value = \"omit\"`: {}", omitted.why),
        });
        Explanation {
            message_id: judged.message_id.clone(),
            mapped: mapped.map(|set| self.mapped(body, set)).collect(),
            ignored: ignored.chain(omitted).chain(nulls).collect(),
            needs: judged.needs.clone(),
            ..Explanation::empty()
        }
    }

    fn mapped(&self, body: &Bytes, set: &SetField) -> MappedTrait {
        let SetField { entity, trait_path, field, how: found_by, given, sent } = set.clone();
        let first = trait_path.split('.').next().unwrap_or_default();
        let own = trait_path == "userId" || has_own_trait(body, first) || has_own_trait(body, &trait_path);
        let how = match found_by {
            FoundBy::Name | FoundBy::Alias if !own => "context",
            FoundBy::Name | FoundBy::Alias | FoundBy::Override => found_by.into(),
        };
        let label = self.labels.get(&(entity, field.clone())).cloned().unwrap_or_default();
        MappedTrait { trait_path, field, entity, how, found_by, label, given, sent }
    }

    fn ignored(&self, ignored: &Ignored) -> IgnoredTrait {
        let nearest = match ignored.why {
            NO_SUCH_FIELD => self.mapper.nearest(ignored),
            _ => None,
        };
        IgnoredTrait { trait_path: ignored.trait_path.clone(), nearest, why: ignored.why.to_owned() }
    }

    /// Traits that have a field and whose names are like this one's, the most alike first.
    pub(super) fn alike(&self, trait_path: &str, most: usize) -> Vec<String> {
        self.mapper.alike(trait_path, most)
    }

    /// API calls an hour that Freshet may make for the account.
    pub fn requests_per_hour(&self) -> f64 {
        self.account.limits.requests_per_hour
    }
}

/// Whether a value is not written after all, because the whole company or deal that it belongs to is left out.
fn is_left_out(set: &SetField, omitted: &[Omitted]) -> bool {
    omitted.iter().any(|omitted| omitted.entity == set.entity && omitted.field == set.entity.singular())
}

impl Explanation {
    fn empty() -> Self {
        Self {
            line: 0,
            index: None,
            account: None,
            routed_by: None,
            event_type: None,
            message_id: None,
            ends: Ends::Deliver,
            problems: Vec::new(),
            mapped: Vec::new(),
            ignored: Vec::new(),
            foreseen: Foreseen::default(),
            risks: Vec::new(),
            filled: Vec::new(),
            needs: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.ends = Ends::DeadLetter(refusal.reason);
        self.problems.clone_from(&refusal.problems);
    }
}

impl Default for Explainer {
    fn default() -> Self {
        let mut delivered = LruCache::unbounded();
        delivered.resize(REMEMBERED);
        Self { accounts: HashMap::new(), delivered }
    }
}

impl Explainer {
    /// Adds an account.
    pub fn add(&mut self, account: AccountExplainer) {
        self.accounts.insert(account.account.name.clone(), account);
    }

    /// An account that was added.
    pub fn account_mut(&mut self, name: &str) -> Option<&mut AccountExplainer> {
        self.accounts.get_mut(name)
    }

    /// An account that was added.
    pub fn account(&self, name: &str) -> Option<&AccountExplainer> {
        self.accounts.get(name)
    }

    /// Explains an event of a file. `glimpse` is what can be read of it whatever is wrong with it.
    pub fn explain(&mut self, read: &FileRead, glimpse: Glimpse, now: Instant) -> Explanation {
        let account = read.account();
        let explainer = account.and_then(|(name, _)| self.accounts.get(name));
        let mut explanation = match (read.body(), explainer) {
            (Ok(body), Some(explainer)) => explainer.explain(body, now),
            (Ok(_), None) => Explanation::empty(),
            (Err(refusal), _) => {
                let mut explanation = Explanation::empty();
                explanation.refuse(refusal);
                explanation
            }
        };
        (explanation.line, explanation.index) = (read.line(), read.index());
        explanation.account = account.map(|(name, _)| name.clone());
        explanation.routed_by = account.map(|(_, by)| by.into());
        explanation.event_type = glimpse.event_type;
        if explanation.message_id.is_none() {
            explanation.message_id = glimpse.message_id;
        }
        explanation
    }

    /// Remembers an event as delivered, or skips it as a duplicate of one that was. To be asked once for each event.
    pub fn skip_duplicate(&mut self, explanation: &mut Explanation) {
        let (Some(account), Some(id)) = (&explanation.account, &explanation.message_id) else { return };
        if explanation.ends != Ends::Deliver {
            return;
        }
        let mut hasher = SipHasher13::new();
        (&**account, id).hash(&mut hasher);
        match self.delivered.get(&hasher.finish()) {
            None => drop(self.delivered.put(hasher.finish(), explanation.line)),
            Some(first) => {
                explanation.ends = Ends::Skip(SkipReason::Duplicate);
                explanation.foreseen = Foreseen::default();
                explanation.risks.clear();
                explanation.filled.clear();
                explanation.notes.push(format!("line {first} has the same messageId"));
            }
        }
    }
}
