//! The traits of a contact that are no fields of it: its e-mail address, its company and its deal, in any spelling of
//! the key. This file only finds them; `email` and `related` read them, and `resolution` passes over them.

use serde_json::Value;

use crate::segment::{JsonMap, folds_to};

/// A trait that is read apart from the contact's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mapping) enum SpecialTrait {
    Email,
    Company,
    Deal,
}

impl SpecialTrait {
    const ALL: [Self; 3] = [Self::Email, Self::Company, Self::Deal];

    /// The documented spelling, which is a folded key.
    pub(in crate::mapping) const fn key(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Company => "company",
            Self::Deal => "deal",
        }
    }

    pub(in crate::mapping) fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|special| folds_to(key, special.key()))
    }

    /// The position among the traits: of the exact key unless its value is null, else of the first other spelling whose
    /// value is not null.
    pub(in crate::mapping) fn position(self, traits: &JsonMap) -> Option<usize> {
        let alike = || traits.iter().enumerate().filter(|(_, (key, _))| folds_to(key, self.key()));
        let given = |(_, (_, value)): &(usize, (&String, &Value))| !value.is_null();
        let exact = alike().filter(given).find(|(_, (key, _))| *key == self.key());
        exact.or_else(|| alike().find(given)).map(|(position, _)| position)
    }

    pub(in crate::mapping) fn value(self, traits: &JsonMap) -> Option<&Value> {
        traits.values().nth(self.position(traits)?)
    }
}

/// The positions of a contact's special traits. A company and a deal have none.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::mapping) struct SpecialPositions {
    email: Option<usize>,
    company: Option<usize>,
    deal: Option<usize>,
}

impl SpecialPositions {
    pub(in crate::mapping) fn of(traits: &JsonMap) -> Self {
        let [email, company, deal] = SpecialTrait::ALL.map(|special| special.position(traits));
        Self { email, company, deal }
    }

    pub(in crate::mapping) fn position(self, special: SpecialTrait) -> Option<usize> {
        match special {
            SpecialTrait::Email => self.email,
            SpecialTrait::Company => self.company,
            SpecialTrait::Deal => self.deal,
        }
    }
}
