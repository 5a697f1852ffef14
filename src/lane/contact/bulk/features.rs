//! What reading and writing many records at once relies on, and what an account's answers have shown of it. Not every
//! account is known to honour all of it: each feature is believed only where the answers show it. Pure.

use std::fmt;

/// Something that an account must honour for many records to go in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BulkFeature {
    /// A search finds many contacts by their e-mail addresses, with their links.
    ContactSearch,
    /// A search finds many sales accounts by name.
    SalesAccountSearch,
    /// A search for contacts shows their deals.
    DealsInSearch,
    /// A bulk upsert of contacts writes their links.
    LinksInBulk,
}

impl BulkFeature {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ContactSearch, Self::SalesAccountSearch, Self::DealsInSearch, Self::LinksInBulk];

    /// As metrics, logs and pages name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContactSearch => "contact_search",
            Self::SalesAccountSearch => "sales_account_search",
            Self::DealsInSearch => "deals_in_search",
            Self::LinksInBulk => "links_in_bulk",
        }
    }

    /// The one of this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.as_str() == word)
    }

    /// What goes in one call where it works.
    pub fn gain(self) -> &'static str {
        match self {
            Self::ContactSearch => "up to a hundred contacts are read in one call",
            Self::SalesAccountSearch => "up to a hundred companies are read in one call",
            Self::DealsInSearch => "contacts are read with their deals",
            Self::LinksInBulk => "up to a hundred contacts are linked to their companies in one call",
        }
    }

    /// What it costs that it does not work.
    pub fn cost(self) -> &'static str {
        match self {
            Self::ContactSearch => {
                "a contact with a company or a deal that this replica does not know goes alone: two calls with a company, \
                 four with a deal as well"
            }
            Self::SalesAccountSearch => "a company that this replica does not know costs a call of its own",
            Self::DealsInSearch => "the deals of a contact cost a call of their own to be read",
            Self::LinksInBulk => {
                "a contact whose link to its company is new goes alone: two calls, and two more for a deal"
            }
        }
    }
}

impl fmt::Display for BulkFeature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What an account's answers have shown of a feature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FeatureState {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It works.
    Works,
    /// It does not. It is not tried again by this process.
    Fails,
}

/// What is known of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkFeatures([FeatureState; BulkFeature::ALL.len()]);

impl BulkFeatures {
    /// What is known of a feature.
    pub fn state(&self, feature: BulkFeature) -> FeatureState {
        self.0.get(feature as usize).copied().unwrap_or_default()
    }

    /// Whether it may be used: it works, or nobody knows yet.
    pub fn may_be_used(&self, feature: BulkFeature) -> bool {
        self.state(feature) != FeatureState::Fails
    }

    /// An answer shows that a feature works. Returns whether that is news. After a failure it is not believed: an answer
    /// may be about a call that was sent before.
    pub fn works(&mut self, feature: BulkFeature) -> bool {
        self.state(feature) == FeatureState::Unknown && self.set(feature, FeatureState::Works)
    }

    /// An answer shows that a feature does not work. Returns whether that is news.
    pub fn fails(&mut self, feature: BulkFeature) -> bool {
        self.may_be_used(feature) && self.set(feature, FeatureState::Fails)
    }

    fn set(&mut self, feature: BulkFeature, state: FeatureState) -> bool {
        self.0.get_mut(feature as usize).is_some_and(|place| std::mem::replace(place, state) != state)
    }

    /// What is known, without what is not.
    pub fn known(&self) -> impl Iterator<Item = (BulkFeature, bool)> {
        BulkFeature::ALL.into_iter().filter_map(|feature| match self.state(feature) {
            FeatureState::Unknown => None,
            FeatureState::Works => Some((feature, true)),
            FeatureState::Fails => Some((feature, false)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_believed_until_it_fails_and_news_are_told_once() {
        use BulkFeature::{ContactSearch, DealsInSearch, LinksInBulk};
        let mut features = BulkFeatures::default();
        assert!(BulkFeature::ALL.into_iter().all(|feature| features.may_be_used(feature)));
        assert_eq!(features.known().count(), 0);
        for (feature, works, news, state) in [
            (ContactSearch, true, true, FeatureState::Works),
            (ContactSearch, true, false, FeatureState::Works),
            (LinksInBulk, false, true, FeatureState::Fails),
            (LinksInBulk, false, false, FeatureState::Fails),
            (LinksInBulk, true, false, FeatureState::Fails),
            (ContactSearch, false, true, FeatureState::Fails),
            (DealsInSearch, true, true, FeatureState::Works),
        ] {
            let told = if works { features.works(feature) } else { features.fails(feature) };
            assert_eq!((told, features.state(feature)), (news, state), "{feature} {works}");
            assert_eq!(features.may_be_used(feature), state != FeatureState::Fails);
        }
        let known: Vec<_> = features.known().collect();
        assert_eq!(known, [(ContactSearch, false), (DealsInSearch, true), (LinksInBulk, false)]);
    }

    #[test]
    fn each_feature_has_a_name_of_its_own_and_can_be_found_by_it() {
        for feature in BulkFeature::ALL {
            assert_eq!(BulkFeature::from_word(feature.as_str()), Some(feature));
            assert_eq!(BulkFeature::ALL.get(feature as usize), Some(&feature));
        }
        assert_eq!(BulkFeature::from_word("contactSearch"), None);
    }
}
