//! While records of an entity are under way, a few others wait for them, because by then more may have come. At most one
//! call of less than its full size is under way for each entity, or one for each usual duration of such a call.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::schema::Entity;

/// For so long others wait for the answer to a record that went alone.
const WHILE_ALONE: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(in crate::lane) struct Holds {
    of: HashMap<Entity, Hold>,
}

#[derive(Debug)]
struct Hold {
    until: Instant,
    /// The call of a record that went alone; `None` for a job.
    alone: Option<u64>,
}

impl Holds {
    /// A bulk call was sent; its job usually takes so long.
    pub(in crate::lane) fn job_begins(&mut self, entity: Entity, usual: Duration, now: Instant) {
        self.of.insert(entity, Hold { until: now + usual, alone: None });
    }

    /// A job ended, or the bulk call came to nothing.
    pub(in crate::lane) fn job_over(&mut self, entity: Entity) {
        self.of.remove(&entity);
    }

    /// A record that could have gone with others went alone.
    pub(in crate::lane) fn went_alone(&mut self, entity: Entity, call: u64, now: Instant) {
        let hold = self.of.entry(entity).or_insert(Hold { until: now, alone: None });
        if hold.until <= now {
            *hold = Hold { until: now + WHILE_ALONE, alone: Some(call) };
        }
    }

    pub(in crate::lane) fn answered(&mut self, call: u64) {
        self.of.retain(|_, hold| hold.alone != Some(call));
    }

    /// Until when less than a full call of the entity's records waits, if it does.
    pub(in crate::lane) fn until(&self, entity: Entity, now: Instant) -> Option<Instant> {
        self.of.get(&entity).map(|hold| hold.until).filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_with_what_is_waited_for_or_with_its_time() {
        let (start, usual) = (Instant::now(), Duration::from_secs(4));
        let mut holds = Holds::default();
        holds.went_alone(Entity::Contact, 1, start);
        assert_eq!(holds.until(Entity::Contact, start), Some(start + WHILE_ALONE));
        assert_eq!(holds.until(Entity::Deal, start), None);
        holds.answered(2);
        assert!(holds.until(Entity::Contact, start).is_some(), "another call's answer changes nothing");
        holds.answered(1);
        assert_eq!(holds.until(Entity::Contact, start), None);

        holds.job_begins(Entity::Contact, usual, start);
        holds.went_alone(Entity::Contact, 3, start);
        holds.answered(3);
        assert_eq!(holds.until(Entity::Contact, start), Some(start + usual), "the job is still under way");
        assert_eq!(holds.until(Entity::Contact, start + usual), None);
        holds.job_begins(Entity::Contact, usual, start);
        holds.job_over(Entity::Contact);
        assert_eq!(holds.until(Entity::Contact, start), None);
    }
}
