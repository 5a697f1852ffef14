//! From a body to what is to be done with it. Pure but for what the lane remembers.

use bytes::Bytes;

use crate::lane::scheduler::window::Key;
use crate::mapping::{Identity, Ignored, Mapped, Mapper, Omitted, email_trait};
use crate::outcome::{DeadLetterReason, Outcome, Problem, Refusal, SkipReason};
use crate::schema::Selector;
use crate::segment;
use crate::segment::{Event, EventType, Payload, Undelivered};
use serde_json::Value;

/// What one body is.
pub(in crate::lane) struct Judged {
    /// `identify`, `track`, `page` or `other`: the label in metrics.
    pub(in crate::lane) kind: &'static str,
    /// The sender's name for it.
    pub(in crate::lane) message_id: Option<String>,
    /// The word in `userId` that names nobody, where one stands there.
    pub(in crate::lane) placeholder: Option<&'static str>,
    /// Whom a refused event may be about; no fewer names than it would have if it were not refused.
    names: Vec<Key>,
    /// What to send, or the outcome that needs no sending.
    pub(in crate::lane) verdict: Result<Send, Outcome>,
    /// Traits that reached no field.
    pub(in crate::lane) ignored: Vec<Ignored>,
    /// Values that do not fit and are left out.
    pub(in crate::lane) omitted: Vec<Omitted>,
    /// Selectors that might tell what a value means that does not fit.
    pub(in crate::lane) needs: Vec<Selector>,
}

impl Judged {
    /// Whom it is or may be about.
    pub(in crate::lane) fn names(&self) -> &[Key] {
        self.verdict.as_ref().map_or(&self.names, |send| &send.keys)
    }
}

/// What to send, and whom it is about.
pub(in crate::lane) struct Send {
    pub(in crate::lane) mapped: Mapped,
    pub(in crate::lane) keys: Vec<Key>,
    /// `userId` and e-mail address, where the event tells both.
    pub(in crate::lane) taught: Option<(String, String)>,
}

pub(in crate::lane) fn judge(body: &Bytes, types: &[EventType], can_track: bool, mapper: &Mapper) -> Judged {
    let event = match segment::decode(body) {
        Ok(event) => event,
        Err(undelivered) => {
            let glimpse = segment::glimpse(body);
            return Judged {
                kind: glimpse.label(),
                message_id: glimpse.message_id,
                placeholder: None,
                names: Vec::new(),
                verdict: Err(ended(undelivered)),
                ignored: Vec::new(),
                omitted: Vec::new(),
                needs: Vec::new(),
            };
        }
    };
    let event_type = event.event_type();
    let mut needs = Vec::new();
    let (verdict, ignored, omitted) = if let Err(undelivered) = mapper.check_user(&event) {
        (Err(ended(undelivered)), Vec::new(), Vec::new())
    } else if !types.contains(&event_type) {
        (Err(Outcome::Skipped(SkipReason::DisabledType)), Vec::new(), Vec::new())
    } else if event_type != EventType::Identify && !can_track {
        (Err(Outcome::DeadLetter(not_configured())), Vec::new(), Vec::new())
    } else {
        let mapping = mapper.map(&event);
        needs = mapping.needs;
        let verdict = mapping.verdict.map(|mapped| addressed(&event, mapped)).map_err(Outcome::DeadLetter);
        (verdict, mapping.ignored, mapping.omitted)
    };
    let names = if verdict.is_err() { names(&event) } else { Vec::new() };
    let Event { message_id, placeholder, .. } = event;
    Judged { kind: event_type.as_str(), message_id, placeholder, names, verdict, ignored, omitted, needs }
}

fn ended(undelivered: Undelivered) -> Outcome {
    match undelivered {
        Undelivered::Skip(reason) => Outcome::Skipped(reason),
        Undelivered::Refuse(refusal) => Outcome::DeadLetter(refusal),
    }
}

fn not_configured() -> Refusal {
    let problem = Problem {
        problem: "the account has no app_token, so events and page views cannot be sent".to_owned(),
        expected: Some("`app_token` in the account's configuration".to_owned()),
        ..Problem::default()
    };
    Refusal::new(DeadLetterReason::TrackingNotConfigured, problem)
}

fn names(event: &Event) -> Vec<Key> {
    let address = |text: &str| Key::Email(text.trim().to_lowercase());
    let mut names = Vec::with_capacity(3);
    if let Some(user_id) = &event.user_id {
        names.extend([Key::UserId(user_id.clone()), address(user_id)]);
    }
    if let Payload::Identify { traits } = &event.payload
        && let Some(Value::String(email)) = email_trait(traits)
    {
        names.push(address(email));
    }
    names
}

fn addressed(event: &Event, mapped: Mapped) -> Send {
    let identity = match &mapped {
        Mapped::Contact(contact) => match (&contact.email, &contact.user_id) {
            (Some(email), _) => Identity::Email(email.clone()),
            (None, user_id) => Identity::UserId(user_id.clone().unwrap_or_default()),
        },
        Mapped::Track(activity) => activity.identity.clone(),
        Mapped::Page(page) => page.identity.clone(),
    };
    let mut keys = Vec::with_capacity(2);
    let mut taught = None;
    match identity {
        Identity::Email(email) => {
            if let Some(user_id) = event.user_id.as_ref().filter(|user_id| user_id.to_lowercase() != email) {
                keys.push(Key::UserId(user_id.clone()));
                taught = Some((user_id.clone(), email.clone()));
            }
            keys.push(Key::Email(email));
        }
        Identity::UserId(user_id) => keys.push(Key::UserId(user_id)),
    }
    Send { mapped, keys, taught }
}
