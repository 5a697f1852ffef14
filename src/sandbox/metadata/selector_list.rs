//! The lists that `GET selector/..` offers, and the field behind each.

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::field_file::Form;

/// A list that can be asked for; its name in snake case is the word in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(in crate::sandbox) enum SelectorList {
    BusinessTypes,
    Campaigns,
    ContactStatuses,
    Currencies,
    DealPaymentStatuses,
    DealPipelines,
    DealReasons,
    DealStages,
    DealTypes,
    IndustryTypes,
    LeadSources,
    LifecycleStages,
    Owners,
    SalesActivityOutcomes,
    SalesActivityTypes,
    Territories,
}

impl SelectorList {
    /// The word in the path.
    pub(in crate::sandbox) const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The key of the list in the answer: owners are users.
    pub(in crate::sandbox) fn key(self) -> &'static str {
        if self == Self::Owners { "users" } else { self.as_str() }
    }

    /// The field whose choices it lists.
    pub(super) const fn field(self) -> (Form, &'static str) {
        match self {
            Self::BusinessTypes => (Form::SalesAccounts, "business_type_id"),
            Self::Campaigns => (Form::Contacts, "campaign_id"),
            Self::ContactStatuses => (Form::Contacts, "contact_status_id"),
            Self::Currencies => (Form::Deals, "currency_id"),
            Self::DealPaymentStatuses => (Form::Deals, "deal_payment_status_id"),
            Self::DealPipelines => (Form::Deals, "deal_pipeline_id"),
            Self::DealReasons => (Form::Deals, "deal_reason_id"),
            Self::DealStages => (Form::Deals, "deal_stage_id"),
            Self::DealTypes => (Form::Deals, "deal_type_id"),
            Self::IndustryTypes => (Form::SalesAccounts, "industry_type_id"),
            Self::LeadSources => (Form::Contacts, "lead_source_id"),
            Self::LifecycleStages => (Form::Contacts, "lifecycle_stage_id"),
            Self::Owners => (Form::Contacts, "owner_id"),
            Self::SalesActivityOutcomes => (Form::SalesActivities, "sales_activity_outcome_id"),
            Self::SalesActivityTypes => (Form::SalesActivities, "sales_activity_type_id"),
            Self::Territories => (Form::Contacts, "territory_id"),
        }
    }
}
