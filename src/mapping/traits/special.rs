//! The traits of a contact that are no fields of it: its e-mail address, its company and its deal, in any spelling of
//! the key. This file only finds them; `email` and `related` read them, and `resolution` passes over them.

use crate::segment::{Entries, Given, folds_to};

/// A trait that is read apart from the contact's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mapping) enum SpecialTrait {
    Email,
    Company,
    Deal,
}

impl SpecialTrait {
    /// The documented spelling, which is a folded key.
    pub(in crate::mapping) const fn key(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Company => "company",
            Self::Deal => "deal",
        }
    }

    pub(in crate::mapping) fn of(key: &str) -> Option<Self> {
        // The first letter rules out nearly every key.
        let special = match key.bytes().find(|byte| !matches!(byte, b'_' | b'-'))? {
            b'e' | b'E' => Self::Email,
            b'c' | b'C' => Self::Company,
            b'd' | b'D' => Self::Deal,
            _ => return None,
        };
        folds_to(key, special.key()).then_some(special)
    }

    pub(in crate::mapping) fn value<'t, 'a>(self, traits: &'t Entries<'a>) -> Option<&'t Given<'a>> {
        Some(traits.at(SpecialPositions::of(traits).position(self)?)?.1)
    }
}

/// The positions of a contact's special traits: of the exact key unless its value is null, else of the first other
/// spelling whose value is not null. A company and a deal have none.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::mapping) struct SpecialPositions {
    email: Option<usize>,
    company: Option<usize>,
    deal: Option<usize>,
}

impl SpecialPositions {
    pub(in crate::mapping) fn of(traits: &Entries<'_>) -> Self {
        let mut positions = Self::default();
        for (position, (key, value)) in traits.iter().enumerate() {
            let Some(special) = SpecialTrait::of(key).filter(|_| !value.is_null()) else { continue };
            let known = match special {
                SpecialTrait::Email => &mut positions.email,
                SpecialTrait::Company => &mut positions.company,
                SpecialTrait::Deal => &mut positions.deal,
            };
            if known.is_none() || key == special.key() {
                *known = Some(position);
            }
        }
        positions
    }

    pub(in crate::mapping) fn position(self, special: SpecialTrait) -> Option<usize> {
        match special {
            SpecialTrait::Email => self.email,
            SpecialTrait::Company => self.company,
            SpecialTrait::Deal => self.deal,
        }
    }
}
