//! The traits of a contact that are no fields of it: its e-mail address, its company and its deal, in whatever case and with
//! `-` or `_`. Only says where they stand; the mapper reads them, and claims pass them over.

use serde_json::Value;

use crate::segment::{JsonMap, folds_to};

/// A trait that is no field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mapping) enum Special {
    Email,
    Company,
    Deal,
}

impl Special {
    const ALL: [Self; 3] = [Self::Email, Self::Company, Self::Deal];

    /// As a sender writes it best; folded already.
    pub(in crate::mapping) const fn key(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Company => "company",
            Self::Deal => "deal",
        }
    }

    /// Which one a key means, if any.
    pub(in crate::mapping) fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|special| folds_to(key, special.key()))
    }

    /// Where the trait stands: the exact key if it says something, else the first in another spelling that does.
    pub(in crate::mapping) fn position(self, traits: &JsonMap) -> Option<usize> {
        let alike = || traits.iter().enumerate().filter(|(_, (key, _))| folds_to(key, self.key()));
        let says = |(_, (_, value)): &(usize, (&String, &Value))| !value.is_null();
        let exact = alike().filter(says).find(|(_, (key, _))| *key == self.key());
        exact.or_else(|| alike().find(says)).map(|(position, _)| position)
    }

    /// What the trait says.
    pub(in crate::mapping) fn value(self, traits: &JsonMap) -> Option<&Value> {
        traits.values().nth(self.position(traits)?)
    }
}

/// Where those of one contact stand among its traits. Other records have none.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::mapping) struct Consumed {
    email: Option<usize>,
    company: Option<usize>,
    deal: Option<usize>,
}

impl Consumed {
    pub(in crate::mapping) fn of(traits: &JsonMap) -> Self {
        let [email, company, deal] = Special::ALL.map(|special| special.position(traits));
        Self { email, company, deal }
    }

    /// Where this one stands, if it is there.
    pub(in crate::mapping) fn position(self, special: Special) -> Option<usize> {
        match special {
            Special::Email => self.email,
            Special::Company => self.company,
            Special::Deal => self.deal,
        }
    }
}
