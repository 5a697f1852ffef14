//! Which traits of a file of events have no field.

use std::path::{Path, PathBuf};

use super::Explaining;
use super::events_of_file::EventsOfFile;
use crate::cli::terminal::output::Failure;
use crate::config::Config;
use crate::delivery::AccountName;
use crate::explain::{MissingTrait, MissingTraits};
use crate::mapping::{UnknownCustomField, named_like_custom};

/// Traits without a field, and how many events of an account were read.
pub(in crate::cli) async fn missing_traits(
    config: &Config,
    events: &Path,
    account: Option<AccountName>,
    folder: Option<&PathBuf>,
) -> Result<(Vec<MissingTrait>, MissingTraits), Failure> {
    // A trait that makes a dead letter is one among those without a field here, and hides none of the others.
    let mut lenient = config.clone();
    for account in &mut lenient.accounts {
        account.mapping.unknown_custom_field = UnknownCustomField::Ignore;
    }
    let mut explaining = Explaining::new(&lenient, folder)?;
    let mut events = EventsOfFile::open(&lenient, events, account)?;
    let mut missing = MissingTraits::default();
    while let Some(read) = events.next().await? {
        missing.add(&explaining.explain(&events.reader, &read).await?);
    }
    let refused = |account: &str, trait_path: &str| {
        let of_account = config.accounts.iter().find(|known| *known.name == *account);
        let name = trait_path.rsplit('.').next().unwrap_or(trait_path);
        let rule = of_account.map(|account| account.mapping.unknown_custom_field);
        rule == Some(UnknownCustomField::DeadLetter) && named_like_custom(name)
    };
    Ok((missing.sorted(&explaining.explainer, refused), missing))
}
