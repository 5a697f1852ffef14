//! Decides what one body is: something to send, or an outcome that needs no sending. Pure; the intake calls it, and
//! `explain`, which also wants to know which trait set which field.

use bytes::Bytes;

use crate::config::AccountConfig;
use crate::lane::scheduler::unsettled::window::ContactKey;
use crate::mapping::{Identity, Mapped, Mapper, Mapping, Omitted, Recorded, email_trait};
use crate::outcome::{DeadLetterReason, Outcome, Problem, Refusal, SkipReason};
use crate::schema::Selector;
use crate::segment;
use crate::segment::{Event, EventType, Given, Payload, Undelivered};

/// What one body is.
pub(crate) struct Judged {
    /// `identify`, `track`, `page` or `other`: the label in metrics.
    pub(crate) event_type: &'static str,
    pub(crate) message_id: Option<String>,
    /// The word in `userId` that names nobody, if there is one.
    pub(crate) placeholder: Option<&'static str>,
    /// Whom a refused event may be about: at least the keys that it would have if it were not refused.
    refused_keys: Vec<ContactKey>,
    pub(crate) verdict: Result<Addressed, Outcome>,
    /// How many traits reached no field.
    pub(crate) ignored: usize,
    /// Values that do not fit and are left out.
    pub(crate) omitted: Vec<Omitted>,
    /// Selectors that may explain a value which does not fit.
    pub(crate) needs: Vec<Selector>,
    /// Empty unless it was asked for.
    pub(crate) recorded: Recorded,
}

impl Judged {
    /// Whom it is or may be about.
    pub(in crate::lane) fn keys(&self) -> &[ContactKey] {
        self.verdict.as_ref().map_or(&self.refused_keys, |send| &send.keys)
    }

    fn ended(event_type: &'static str, message_id: Option<String>, outcome: Outcome) -> Self {
        Self {
            event_type,
            message_id,
            placeholder: None,
            refused_keys: Vec::new(),
            verdict: Err(outcome),
            ignored: 0,
            omitted: Vec::new(),
            needs: Vec::new(),
            recorded: Recorded::default(),
        }
    }
}

/// What to send, and whom it is about.
pub(crate) struct Addressed {
    pub(crate) mapped: Mapped,
    pub(crate) keys: Vec<ContactKey>,
    /// `userId` and e-mail address, where the event states both.
    pub(crate) identity_pair: Option<(String, String)>,
}

impl Addressed {
    pub(in crate::lane) fn is_identify(&self) -> bool {
        match self.mapped {
            Mapped::Contact(_) => true,
            Mapped::Track(_) | Mapped::Page(_) => false,
        }
    }
}

/// What an account delivers.
#[derive(Debug, Clone)]
pub(crate) struct Accepts {
    pub(crate) types: Vec<EventType>,
    /// The account has an app token.
    pub(crate) can_track: bool,
}

impl Accepts {
    pub(crate) fn of(account: &AccountConfig, can_track: bool) -> Self {
        Self { types: account.events.clone(), can_track }
    }
}

pub(in crate::lane) fn judge(body: &Bytes, accepts: &Accepts, mapper: &Mapper) -> Judged {
    judged(body, accepts, mapper, |event| (mapper.map(event), Recorded::default()))
}

/// The same, and which trait set which field.
pub(crate) fn judge_recording(body: &Bytes, accepts: &Accepts, mapper: &Mapper) -> Judged {
    judged(body, accepts, mapper, |event| mapper.map_recording(event))
}

fn judged(
    body: &Bytes,
    accepts: &Accepts,
    mapper: &Mapper,
    map: impl FnOnce(&Event) -> (Mapping, Recorded),
) -> Judged {
    let event = match segment::decode(body) {
        Ok(event) => event,
        Err(undelivered) => {
            let glimpse = segment::glimpse(body);
            let event_type = glimpse.label();
            return Judged::ended(event_type, glimpse.message_id, outcome_of(undelivered));
        }
    };
    let event_type = event.event_type();
    let label = event_type.as_str();
    let mut judged = if let Err(undelivered) = mapper.check_user(&event) {
        Judged::ended(label, None, outcome_of(undelivered))
    } else if !accepts.types.contains(&event_type) {
        Judged::ended(label, None, Outcome::Skipped(SkipReason::DisabledType))
    } else if event_type != EventType::Identify && !accepts.can_track {
        Judged::ended(label, None, Outcome::DeadLetter(tracking_not_configured()))
    } else {
        let (mapping, recorded) = map(&event);
        Judged {
            event_type: label,
            message_id: None,
            placeholder: None,
            refused_keys: Vec::new(),
            verdict: mapping.verdict.map(|mapped| addressed(&event, mapped)).map_err(Outcome::DeadLetter),
            ignored: mapping.ignored,
            omitted: mapping.omitted,
            needs: mapping.needs,
            recorded,
        }
    };
    if judged.verdict.is_err() {
        judged.refused_keys = refused_keys(&event);
    }
    (judged.message_id, judged.placeholder) = (event.message_id, event.placeholder);
    judged
}

fn outcome_of(undelivered: Undelivered) -> Outcome {
    match undelivered {
        Undelivered::Skip(reason) => Outcome::Skipped(reason),
        Undelivered::Refuse(refusal) => Outcome::DeadLetter(refusal),
    }
}

fn tracking_not_configured() -> Refusal {
    let problem = Problem {
        problem: "the account has no app_token, so events and page views cannot be sent".to_owned(),
        expected: Some("`app_token` in the account's configuration".to_owned()),
        ..Problem::default()
    };
    Refusal::new(DeadLetterReason::TrackingNotConfigured, problem)
}

fn refused_keys(event: &Event) -> Vec<ContactKey> {
    let address = |text: &str| ContactKey::Email(text.trim().to_lowercase());
    let mut keys = Vec::with_capacity(3);
    if let Some(user_id) = &event.user_id {
        keys.extend([ContactKey::UserId(user_id.clone()), address(user_id)]);
    }
    if let Payload::Identify { traits } = &event.payload {
        keys.extend(email_trait(&traits.read()).and_then(Given::as_text).map(address));
    }
    keys
}

fn addressed(event: &Event, mapped: Mapped) -> Addressed {
    let identity = match &mapped {
        Mapped::Contact(contact) => match (&contact.email, &contact.user_id) {
            (Some(email), _) => Identity::Email(email.clone()),
            (None, user_id) => Identity::UserId(user_id.clone().unwrap_or_default()),
        },
        Mapped::Track(activity) => activity.identity.clone(),
        Mapped::Page(page) => page.identity.clone(),
    };
    let mut keys = Vec::with_capacity(2);
    let mut identity_pair = None;
    match identity {
        Identity::Email(email) => {
            if let Some(user_id) = event.user_id.as_ref().filter(|user_id| user_id.to_lowercase() != email) {
                keys.push(ContactKey::UserId(user_id.clone()));
                identity_pair = Some((user_id.clone(), email.clone()));
            }
            keys.push(ContactKey::Email(email));
        }
        Identity::UserId(user_id) => keys.push(ContactKey::UserId(user_id)),
    }
    Addressed { mapped, keys, identity_pair }
}
