//! What a person does about an event that is not delivered. One sentence or two for each reason.

use crate::outcome::{DeadLetterReason, SkipReason};

/// What to do about a dead letter.
pub const fn remedy(reason: DeadLetterReason) -> &'static str {
    match reason {
        DeadLetterReason::MalformedJson => {
            "send one JSON object, an array of them, or {\"batch\": [...]}, in UTF-8"
        }
        DeadLetterReason::InvalidEvent => {
            "mend the event where it is made: the keys beside traits and properties must be as Segment specifies them"
        }
        DeadLetterReason::UnknownAccount => {
            "list the source's writeKey or projectId in an account's write_keys or project_ids, or send the header freshsales-account"
        }
        DeadLetterReason::MissingUserId => {
            "send a userId; or set anonymous_identify = \"by_email\" for the account, if an e-mail address alone is to make a contact"
        }
        DeadLetterReason::MissingEmail => {
            "send the e-mail address as the trait email, at least in the first identify of each userId"
        }
        DeadLetterReason::InvalidEmail => "send a bare address such as ada@example.com as the trait email",
        DeadLetterReason::UnknownCustomField => {
            "add the field in Freshsales, or rename the trait; or send it to another field with [accounts.fields], or set unknown_custom_field = \"ignore\""
        }
        DeadLetterReason::InvalidCustomField | DeadLetterReason::InvalidField => {
            "send a value that fits, or add the choice in Freshsales; or set invalid_value = \"omit\" to write the rest of the record without it"
        }
        DeadLetterReason::TrackingNotConfigured => {
            "set the account's app_token; or leave track and page out of its events, to have them skipped"
        }
        DeadLetterReason::TooLarge => "send less: an event may have 1 MiB",
        DeadLetterReason::Rejected => {
            "read Freshsales' message; give required fields in the event or with [accounts.defaults], or give the key's user the right"
        }
        DeadLetterReason::Undeliverable => "see what was answered, mend it, and replay the letter",
        DeadLetterReason::DeliveryLimit => {
            "find out why replicas stopped while they had it, and replay the letter"
        }
    }
}

/// Why an event is skipped, and what to do if it should not be.
pub const fn why_skipped(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::UnsupportedType => "only identify, track and page are delivered, spelled so",
        SkipReason::DisabledType => {
            "the account's events do not name this type; add it there to have it delivered"
        }
        SkipReason::IntegrationDisabled => {
            "the sender excludes this destination; \"Freshsales Suite - CRM\": true in integrations includes it"
        }
        SkipReason::Anonymous => "it names nobody: send a userId",
        SkipReason::Duplicate => {
            "an event with this messageId was delivered before; give each event an id of its own"
        }
    }
}
