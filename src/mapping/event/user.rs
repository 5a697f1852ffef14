//! Whether an event names a user, by the account's rules. Lanes and `explain` ask before they map the event.

use super::email::{self, email_trait};
use crate::mapping::{AnonymousIdentify, Mapper};
use crate::outcome::{DeadLetterReason, Problem, Refusal, SkipReason};
use crate::segment::{Event, Payload, Undelivered};

impl Mapper {
    /// Skips or refuses an event that names no user. Without a `userId`, only an identify with an e-mail address names
    /// one. An identify whose address is malformed is refused; all other events without a `userId` come from anonymous
    /// visitors and are skipped, because they would only fill the dead letters.
    pub fn check_user(&self, event: &Event) -> Result<(), Undelivered> {
        if event.user_id.is_some() {
            return Ok(());
        }
        let traits = match &event.payload {
            Payload::Identify { traits } => traits,
            Payload::Track { .. } | Payload::Page { .. } => {
                return Err(Undelivered::Skip(SkipReason::Anonymous));
            }
        };
        match (email::identifying(email_trait(&traits.read()), None), self.rules.anonymous_identify) {
            (Ok(_), AnonymousIdentify::ByEmail) => Ok(()),
            (Ok(_), AnonymousIdentify::DeadLetter) => Err(no_user(event.placeholder).into()),
            (Err(refusal), _) if refusal.reason == DeadLetterReason::MissingEmail => {
                Err(Undelivered::Skip(SkipReason::Anonymous))
            }
            (Err(refusal), _) => Err(refusal.into()),
        }
    }
}

fn no_user(placeholder: Option<&str>) -> Refusal {
    let problem = match placeholder {
        Some(word) => format!("an identify needs a user, and `{word}` names none"),
        None => "an identify needs a user".to_owned(),
    };
    let expected = "a string that is not blank, or a whole number; or `anonymous_identify = \"by_email\"` in the account's configuration";
    Refusal::new(
        DeadLetterReason::MissingUserId,
        Problem {
            trait_path: Some("userId".into()),
            problem,
            expected: Some(expected.into()),
            ..Problem::default()
        },
    )
}
