//! What reasons of dead letters and of skipped events mean, in a few words that stand beside them. Reasons come from other
//! replicas, too: one that this version does not know has no words.

use crate::outcome::{DeadLetterReason, SkipReason};

/// Empty where the reason is not known.
pub(in crate::status) fn meaning(reason: &str) -> &'static str {
    let dead =
        DeadLetterReason::ALL.iter().find(|known| known.as_str() == reason).copied().map(of_dead_letter);
    let skip = || SkipReason::ALL.iter().find(|known| known.as_str() == reason).copied().map(of_skip);
    dead.or_else(skip).unwrap_or_default()
}

const fn of_dead_letter(reason: DeadLetterReason) -> &'static str {
    match reason {
        DeadLetterReason::MalformedJson => "the body is no JSON object",
        DeadLetterReason::InvalidEvent => "no Segment event, or one without what it needs",
        DeadLetterReason::UnknownAccount => "no account is configured for it",
        DeadLetterReason::MissingUserId => "an identify without userId",
        DeadLetterReason::MissingEmail => "no e-mail address, and no contact known by the userId",
        DeadLetterReason::InvalidEmail => "what stands for the e-mail address is none",
        DeadLetterReason::UnknownCustomField => "the account has no such custom field",
        DeadLetterReason::InvalidCustomField => "the value does not fit the custom field",
        DeadLetterReason::InvalidField => "the value does not fit the field",
        DeadLetterReason::TrackingNotConfigured => "the account has no app_token",
        DeadLetterReason::TooLarge => "larger than Freshsales takes",
        DeadLetterReason::Rejected => "Freshsales refused the record",
        DeadLetterReason::Undeliverable => "never got through while others did",
        DeadLetterReason::DeliveryLimit => "RabbitMQ delivered it too often",
    }
}

const fn of_skip(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::UnsupportedType => "a type of event that Freshsales has no place for",
        SkipReason::DisabledType => "the account takes no events of this type",
        SkipReason::IntegrationDisabled => "the event's integrations exclude Freshsales",
        SkipReason::Anonymous => "nobody is named whom it is about",
        SkipReason::Duplicate => "an event with its messageId was settled before",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_words_and_what_is_no_reason_has_none() {
        let dead = DeadLetterReason::ALL.iter().map(|reason| reason.as_str());
        for reason in dead.chain(SkipReason::ALL.iter().map(|reason| reason.as_str())) {
            assert!(!meaning(reason).is_empty(), "{reason}");
        }
        assert_eq!(meaning("of_a_later_version"), "");
    }
}
