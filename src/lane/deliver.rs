//! What is sent for one event, call by call, until it is delivered, refused or given up.

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::courier::{Courier, NotDone};
use super::memory::{Identities, Recalled};
use crate::freshsales::{Call, Link, linked_accounts, record_id};
use crate::mapping::{ContactWrite, Identity, Mapped, Record, RelatedWrite};
use crate::outcome::{DeadLetterReason, Outcome, Problem, Refusal};
use crate::schema::Entity;

/// One event on its way.
pub(super) struct Delivering<'a> {
    pub(super) courier: &'a Courier,
    pub(super) identities: &'a Identities,
    pub(super) stop: &'a CancellationToken,
    /// Calls sent so far.
    pub(super) attempts: u32,
}

/// A step that could not be done, and at which record.
struct Failed {
    at: &'static str,
    why: NotDone,
}

impl Delivering<'_> {
    /// Sends what the event asks for.
    pub(super) async fn deliver(&mut self, mapped: &Mapped) -> Outcome {
        let done = match mapped {
            Mapped::Contact(contact) => self.contact(contact).await,
            Mapped::Track(activity) => {
                let identifier = self.identifier(&activity.identity).await;
                match identifier {
                    Ok(identifier) => {
                        let call = Call::track_event(&identifier, &activity.name, &activity.properties);
                        self.call("event", &call).await.map(drop)
                    }
                    Err(failed) => Err(failed),
                }
            }
            Mapped::Page(page) => {
                let identifier = self.identifier(&page.identity).await;
                match identifier {
                    Ok(identifier) => {
                        let call = Call::track_page_view(&identifier, &page.url, &page.properties);
                        self.call("page view", &call).await.map(drop)
                    }
                    Err(failed) => Err(failed),
                }
            }
        };
        match done {
            Ok(()) => Outcome::Delivered,
            Err(Failed { why: NotDone::Abandoned, .. }) => Outcome::Returned,
            Err(Failed { at, why: NotDone::Refused { status, messages } }) => {
                Outcome::DeadLetter(refusal(at, status, messages))
            }
        }
    }

    /// Sales account, contact, their link, deal: each needs the ids of those before it.
    async fn contact(&mut self, write: &ContactWrite) -> Result<(), Failed> {
        let account = match &write.company {
            Some(company) => Some(self.named(Entity::SalesAccount, company, Map::new()).await?),
            None => None,
        };
        let body = self.call("contact", &Call::contact_upsert(&write.email, flat(&write.record))).await?;
        let Some(contact) = record_id(&body, Entity::Contact.singular()) else { return Ok(()) };
        if let Some(account) = account {
            self.link(contact, account, &body).await?;
        }
        if let Some(deal) = &write.deal {
            let mut links = Map::new();
            if let Some(account) = account {
                links.insert("sales_account_id".to_owned(), Value::from(account));
            }
            links.insert("contacts_added_list".to_owned(), Value::from(vec![contact]));
            self.named(Entity::Deal, deal, links).await?;
        }
        Ok(())
    }

    async fn named(
        &mut self,
        entity: Entity,
        write: &RelatedWrite,
        links: Map<String, Value>,
    ) -> Result<i64, Failed> {
        let mut record = flat(&write.record);
        record.extend(links);
        let at = match entity {
            Entity::Contact => "contact",
            Entity::SalesAccount => "sales account",
            Entity::Deal => "deal",
        };
        let body = self.call(at, &Call::named_upsert(entity, &write.name, record)).await?;
        // The verdict made sure of the id; without one there is nothing to link, and nothing to lose.
        Ok(record_id(&body, entity.singular()).unwrap_or_default())
    }

    /// Adds the sales account to the contact's links. The API replaces the whole set, so the others go along.
    async fn link(&mut self, contact: i64, account: i64, upserted: &Value) -> Result<(), Failed> {
        let links = if let Some(links) = linked_accounts(upserted) {
            links
        } else {
            let body = self.call("contact", &Call::contact_read(contact)).await?;
            linked_accounts(&body).ok_or_else(unreadable_links)?
        };
        if links.iter().any(|link| link.id == account) {
            return Ok(());
        }
        let mut links = links;
        let primary = !links.iter().any(|link| link.primary);
        links.push(Link { id: account, primary });
        self.call("contact's link to the sales account", &Call::contact_links(contact, &links))
            .await
            .map(drop)
    }

    /// The contact's e-mail address where it is or can be known, else the `userId`.
    async fn identifier(&mut self, identity: &Identity) -> Result<String, Failed> {
        let user_id = match identity {
            Identity::Email(email) => return Ok(email.clone()),
            Identity::UserId(user_id) => user_id,
        };
        match self.identities.recall(user_id) {
            Recalled::Email(email) => return Ok(email),
            Recalled::LookedUpInVain => return Ok(user_id.clone()),
            Recalled::Unknown => {}
        }
        let found = self.look_up(user_id).await?;
        match &found {
            Some(email) => self.identities.learn(user_id, email.clone()),
            None => self.identities.looked_up_in_vain(user_id),
        }
        Ok(found.unwrap_or_else(|| user_id.clone()))
    }

    async fn look_up(&mut self, user_id: &str) -> Result<Option<String>, Failed> {
        match self.call("contact", &Call::lookup_external_id(user_id)).await {
            Ok(body) => Ok(found_email(&body, user_id)),
            // A look-up that is refused finds nothing; the userId itself is then sent.
            Err(Failed { why: NotDone::Refused { .. }, .. }) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    async fn call(&mut self, at: &'static str, call: &Call) -> Result<Value, Failed> {
        let result = self.courier.call(call, self.stop, &mut self.attempts).await;
        result.map_err(|why| Failed { at, why })
    }
}

/// The address of the contact whose `external_id` is exactly this one.
fn found_email(body: &Value, user_id: &str) -> Option<String> {
    let contacts = body.get("contacts")?.get("contacts")?.as_array()?;
    let contact = contacts.iter().find(|contact| {
        contact.get("external_id").is_none_or(|id| id.as_str() == Some(user_id) || id.is_null())
    })?;
    let listed = || {
        let emails = contact.get("emails")?.as_array()?;
        let primary = |email: &&Value| email.get("is_primary").and_then(Value::as_bool).unwrap_or(false);
        emails.iter().find(primary).or(emails.first())?.get("value")
    };
    contact.get("email").and_then(Value::as_str).or_else(|| listed()?.as_str()).map(str::to_lowercase)
}

/// The record as a body carries it: custom fields inside `custom_field`.
fn flat(record: &Record) -> Map<String, Value> {
    let mut map = record.fields.clone();
    if !record.custom_field.is_empty() {
        map.insert("custom_field".to_owned(), Value::Object(record.custom_field.clone()));
    }
    map
}

/// Setting links without knowing the old ones would remove them.
fn unreadable_links() -> Failed {
    let messages = vec!["its links to sales accounts cannot be read, so none can be added safely".to_owned()];
    Failed { at: "contact", why: NotDone::Refused { status: 200, messages } }
}

fn refusal(at: &str, status: u16, messages: Vec<String>) -> Refusal {
    let problems = messages
        .into_iter()
        .map(|message| Problem {
            problem: format!("Freshsales refused the {at}: {message}"),
            ..Problem::default()
        })
        .collect();
    Refusal { reason: DeadLetterReason::Rejected, problems, http_status: Some(status) }
}
