//! What a person does about dead letters of a reason.

use crate::outcome::DeadLetterReason;

/// In one or two sentences. Ends with what to do before the letters are sent back.
pub(in crate::status) const fn remedy(reason: DeadLetterReason) -> &'static str {
    match reason {
        DeadLetterReason::MalformedJson => {
            "The sender writes no JSON. Mend it there; these letters fail again as they are."
        }
        DeadLetterReason::InvalidEvent => {
            "The event is none of Segment's. Mend the sender; these letters fail again as they are."
        }
        DeadLetterReason::UnknownAccount => {
            "No account claims the event. Add its key to the account's write_keys or project_ids, reload, then send back."
        }
        DeadLetterReason::MissingUserId => {
            "An identify has an e-mail address and no userId. Take it with anonymous_identify = \"by_email\", reload, \
             then send back."
        }
        DeadLetterReason::MissingEmail => {
            "No contact has this userId. Once the contacts are there with their external_id, send back."
        }
        DeadLetterReason::InvalidEmail => {
            "What stands for the e-mail address is none. Mend the sender; these letters fail again as they are."
        }
        DeadLetterReason::UnknownCustomField => {
            "The account has no such field. Add it in Freshsales, or set unknown_custom_field = \"ignore\" and reload; then \
             send back."
        }
        DeadLetterReason::InvalidCustomField | DeadLetterReason::InvalidField => {
            "The value does not fit the field. Mend the field in Freshsales, or map the trait elsewhere and reload; then \
             send back."
        }
        DeadLetterReason::TrackingNotConfigured => {
            "The account has no app_token. Set it and reload; then send back."
        }
        DeadLetterReason::TooLarge => {
            "The event is larger than 1 MiB. Mend the sender; these letters fail again as they are."
        }
        DeadLetterReason::Rejected => {
            "Freshsales refused the record; the detail has its words. Mend what they name, then send back."
        }
        DeadLetterReason::Undeliverable => {
            "It never got through while others did. Ask Freshsales about the answers in the detail, then send back."
        }
        DeadLetterReason::DeliveryLimit => {
            "It was handed out too often without an end. Read the replicas' logs for what ended them, then send back."
        }
    }
}
