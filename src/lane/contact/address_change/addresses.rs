//! The e-mail addresses and the `external_id` that a contact is written with.

use serde_json::Value;

use super::emails::addresses;
use crate::freshsales::{emails_of, has_another_external_id};
use crate::lane::contact::contact_work::ContactWork;
use crate::lane::contact::held::RecordText;
use crate::lane::contact::step::Step;

impl ContactWork {
    /// The body of the contact's record, an object's text.
    pub(in crate::lane) fn contact_object(&self, record: &RecordText) -> String {
        let listed = record.field("emails").filter(|emails| emails.starts_with('['));
        let emails = match (&self.write.email, listed) {
            (None | Some(_), None | Some(_)) if self.step == Step::Update => self.identity.emails.clone(),
            // The event's list was made without knowing the address.
            (Some(email), Some(_)) if !self.write.says_email => {
                Some(addresses(Vec::new(), record.field("emails"), email).0)
            }
            (None | Some(_), None | Some(_)) => None,
        };
        let mut left_out = Vec::with_capacity(2);
        let mut more = Vec::with_capacity(1);
        if self.identity.without_external_id {
            left_out.push("external_id");
        }
        if let Some(emails) = emails {
            left_out.push("emails");
            more.push(("emails", emails));
        }
        record.object_without(&left_out, &more)
    }

    /// Whether the contact is written by its id and gets another address.
    pub(in crate::lane) fn changes_address(&self) -> bool {
        self.identity.emails.is_some()
    }

    /// Takes the addresses that the contact has, to write them together with the new one. False if the contact has another
    /// `external_id` by now.
    pub(in crate::lane) fn take_addresses(&mut self, body: &Value) -> bool {
        if self.write.external_id().is_none_or(|user_id| has_another_external_id(body, &user_id)) {
            return false;
        }
        let record = &self.write.record;
        let (emails, too_many) = addresses(emails_of(body), record.field("emails"), self.write.address());
        self.identity.emails = Some(emails);
        self.identity.too_many_emails = too_many;
        true
    }
}
