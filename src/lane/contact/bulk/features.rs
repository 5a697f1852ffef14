//! What bulk calls need of an account beyond bulk calls themselves, and whether the account does it. Nothing documents that
//! every account does, so it is believed only where an answer shows it.

/// Something that an account may do or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BulkFeature {
    /// Searches find contacts by address and show their sales accounts.
    ContactSearch,
    /// Searches find sales accounts by name.
    SalesAccountSearch,
    /// Searches show contacts' deals.
    DealsInSearch,
    /// Bulk upserts take a contact's sales accounts.
    LinksInBulk,
}

/// What is known of a feature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FeatureState {
    /// No answer has shown it yet.
    #[default]
    Unknown,
    /// An answer has shown that the account does it.
    Works,
    /// An answer has shown that it does not.
    Fails,
}

/// What is known of the account's features in this process.
#[derive(Debug, Default)]
pub(in crate::lane) struct BulkFeatures {
    contact_search: FeatureState,
    sales_account_search: FeatureState,
    deals_in_search: FeatureState,
    links_in_bulk: FeatureState,
}

impl BulkFeatures {
    pub(in crate::lane) fn state(&self, feature: BulkFeature) -> FeatureState {
        match feature {
            BulkFeature::ContactSearch => self.contact_search,
            BulkFeature::SalesAccountSearch => self.sales_account_search,
            BulkFeature::DealsInSearch => self.deals_in_search,
            BulkFeature::LinksInBulk => self.links_in_bulk,
        }
    }

    /// An answer shows that it works, or not. True if that was not known. What has failed is not believed again in this
    /// process.
    pub(in crate::lane) fn learn(&mut self, feature: BulkFeature, state: FeatureState) -> bool {
        let known = match feature {
            BulkFeature::ContactSearch => &mut self.contact_search,
            BulkFeature::SalesAccountSearch => &mut self.sales_account_search,
            BulkFeature::DealsInSearch => &mut self.deals_in_search,
            BulkFeature::LinksInBulk => &mut self.links_in_bulk,
        };
        let news = *known != state && *known != FeatureState::Fails;
        if news {
            *known = state;
        }
        news
    }
}
