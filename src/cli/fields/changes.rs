//! `fields --diff`: what changed since an account's fields were saved.

use std::path::Path;

use super::lines::{BOLD, aligned, json_lines};
use crate::cli::explain::not_known;
use crate::cli::terminal::output::{Failure, print, print_error, print_styled};
use crate::config::AccountConfig;
use crate::explain::{AccountFields, ListedField, SavedFieldChange, changes, list};
use crate::schema::Entity;
use crate::words::counted;

/// What was saved of an account: in a folder of all accounts, or one of its files.
pub(super) fn saved(path: &Path, account: &AccountConfig) -> Result<AccountFields, Failure> {
    let read = if path.is_file() {
        AccountFields::from_file(path)
    } else {
        AccountFields::from_folder(path, &account.name)
    };
    read.map_err(not_known)
}

/// Shows what changed in one account. Returns whether anything did.
pub(super) fn show(
    account: &AccountConfig,
    saved: (&Path, &AccountFields),
    now: &AccountFields,
    json: bool,
) -> Result<bool, Failure> {
    let (path, before) = saved;
    let unknown: Vec<Entity> =
        [before, now].iter().flat_map(|fields| fields.gaps()).map(|(entity, _)| *entity).collect();
    let not_compared = |entity: &Entity, why: &str| {
        let entity = entity.plural().replace('_', " ");
        print_error(&format!("account `{}`: {entity} are not compared: {why}", account.name));
    };
    for (entity, _) in now.gaps() {
        not_compared(entity, "their fields cannot be read now");
    }
    // A file is of one entity, and nobody expects it to say anything of the others.
    for (entity, _) in before.gaps().iter().filter(|_| !path.is_file()) {
        not_compared(entity, &format!("`{}` has no fields of theirs", path.display()));
    }
    let compared = |fields: &AccountFields| -> Vec<ListedField> {
        let all = list(&account.name, fields).into_iter();
        all.filter(|field| unknown.iter().all(|entity| entity.singular() != field.entity)).collect()
    };
    let changes = changes(&compared(before), &compared(now));
    if json {
        print(json_lines(&changes)?)?;
    } else {
        print_styled(&text(account, path, &changes))?;
    }
    Ok(!changes.is_empty())
}

fn text(account: &AccountConfig, path: &Path, changes: &[SavedFieldChange]) -> String {
    let since = format!("since `{}` was saved", path.display());
    if changes.is_empty() {
        return format!("{BOLD}{}{BOLD:#}: no field changed {since}\n", account.name);
    }
    let number = counted(changes.len() as u64, "change", "changes");
    let rows = changes.iter().map(|change| {
        let entity = change.entity.replace('_', " ");
        [change.trait_path.clone(), change.field.clone(), entity, change.words()]
    });
    let table = aligned(["trait", "field", "of a", "what changed"], rows);
    format!("{BOLD}{}{BOLD:#}: {number} {since}\n{table}", account.name)
}
