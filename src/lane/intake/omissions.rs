//! Tells in the log which fields' values are left out because they do not fit, each field once a minute at most: a sender
//! may leave the same mistake in every event. Names fields, never values or traits. The lane calls it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::AccountName;
use crate::mapping::Omitted;
use crate::schema::Entity;

/// How long a field is not named again.
const QUIET: Duration = Duration::from_mins(1);

/// What was told of each field. An account's fields bound it.
#[derive(Debug)]
pub(in crate::lane) struct Omissions {
    account: AccountName,
    told: HashMap<(Entity, String), Told>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    /// Values left out since then.
    since: u64,
}

impl Omissions {
    pub(in crate::lane) fn new(account: AccountName) -> Self {
        Self { account, told: HashMap::new() }
    }

    /// Tells of a value that is left out, unless its field was named lately.
    pub(in crate::lane) fn tell(&mut self, omitted: &Omitted, now: Instant) {
        let Some(values) = self.count(omitted, now) else { return };
        tracing::warn!(
            account = &*self.account,
            entity = omitted.entity.singular(),
            field = omitted.field,
            reason = omitted.why,
            values,
            "a value was left out"
        );
    }

    /// How many values of the field to tell of now; none if it was named lately.
    fn count(&mut self, omitted: &Omitted, now: Instant) -> Option<u64> {
        let Some(told) = self.told.get_mut(&(omitted.entity, omitted.field.clone())) else {
            self.told.insert((omitted.entity, omitted.field.clone()), Told { at: now, since: 0 });
            return Some(1);
        };
        told.since += 1;
        if now.saturating_duration_since(told.at) < QUIET {
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_field_is_named_once_a_minute_with_all_that_was_left_out_since() {
        let omitted = |field: &str| Omitted {
            entity: Entity::Contact,
            field: field.to_owned(),
            trait_path: field.to_owned(),
            why: "no".to_owned(),
        };
        let mut omissions = Omissions::new("acme".into());
        let start = Instant::now();
        assert_eq!(omissions.count(&omitted("city"), start), Some(1));
        assert_eq!(omissions.count(&omitted("city"), start), None);
        assert_eq!(omissions.count(&omitted("tags"), start), Some(1), "another field");
        assert_eq!(omissions.count(&omitted("city"), start + QUIET), Some(2));
        assert_eq!(omissions.count(&omitted("city"), start + QUIET), None);
    }
}
