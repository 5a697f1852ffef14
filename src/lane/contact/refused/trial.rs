//! Changes with which a refused record is tried again, each once, in a fixed order. Freshsales' messages are translated, so
//! their words decide nothing: the change with which the record is accepted was the right one.

use super::refusal::RefusedCall;
use crate::mapping::Lacking;
use crate::schema::Entity;

/// What is changed in a record. A new kind of change is a member here, with its rows in [`TRIALS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::lane) struct Changes {
    /// Without the choice that Freshsales refuses unless it belongs to its parent: see [`dependent_choice`].
    pub(in crate::lane) without_choice: bool,
    /// With the account's defaults for required fields that the event does not give.
    pub(in crate::lane) with_defaults: bool,
}

/// The changes in the order in which they are tried. Leaving out a choice comes first: it is right for new records and for
/// existing ones.
const TRIALS: [Changes; 3] = [
    Changes { without_choice: true, with_defaults: false },
    Changes { without_choice: false, with_defaults: true },
    Changes { without_choice: true, with_defaults: true },
];

impl Changes {
    fn within(self, others: Self) -> bool {
        (!self.without_choice || others.without_choice) && (!self.with_defaults || others.with_defaults)
    }
}

/// A record that was refused and is being tried with changes.
#[derive(Debug)]
pub(in crate::lane) struct Trial {
    /// How often it was tried; the last time with the changes before this place in [`TRIALS`].
    next: usize,
    pub(in crate::lane) changes: Changes,
    /// The refusal of the record as the event gives it. A dead letter reports this one, because it is about the event.
    pub(in crate::lane) first: RefusedCall,
}

impl Trial {
    /// The next trial after this refusal, given what can be changed in the record; the first refusal if none is left.
    pub(in crate::lane) fn after(
        earlier: Option<Self>,
        possible: Changes,
        refused: RefusedCall,
    ) -> Result<Self, RefusedCall> {
        let (next, first) = earlier.map_or((0, refused), |earlier| (earlier.next, earlier.first));
        let applicable = |(_, changes): &(usize, Changes)| changes.within(possible);
        match TRIALS.into_iter().enumerate().skip(next).find(applicable) {
            Some((place, changes)) => Ok(Self { next: place + 1, changes, first }),
            None => Err(first),
        }
    }
}

/// The field that Freshsales takes only together with its parent: a contact's status with its lifecycle stage, a deal's
/// stage with its pipeline. A pair that does not match is refused with the whole record.
pub(in crate::lane) const fn dependent_choice(entity: Entity) -> Option<&'static str> {
    match entity {
        Entity::Contact => Some("contact_status_id"),
        Entity::Deal => Some("deal_stage_id"),
        Entity::SalesAccount => None,
    }
}

pub(in crate::lane) fn has_defaults(lacking: &[Lacking]) -> bool {
    lacking.iter().any(|lacking| lacking.default.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_possible_change_is_tried_once_and_the_first_refusal_is_reported() {
        let refused = |what: &str| RefusedCall::rejected(400, vec![what.to_owned()]);
        let changes = |without_choice, with_defaults| Changes { without_choice, with_defaults };
        for (possible, expected) in [
            (changes(false, false), vec![]),
            (changes(true, false), vec![changes(true, false)]),
            (changes(false, true), vec![changes(false, true)]),
            (changes(true, true), vec![changes(true, false), changes(false, true), changes(true, true)]),
        ] {
            let mut tried = Vec::new();
            let mut trial = Trial::after(None, possible, refused("first"));
            let reported = loop {
                match trial {
                    Ok(next) => {
                        tried.push(next.changes);
                        trial = Trial::after(Some(next), possible, refused("later"));
                    }
                    Err(reported) => break reported,
                }
            };
            assert_eq!(tried, expected);
            assert_eq!(reported, refused("first"));
        }
    }
}
