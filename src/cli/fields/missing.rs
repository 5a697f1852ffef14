//! `fields --missing`: which traits of a file of events have no field.

use super::lines::{BOLD, aligned, json_lines};
use crate::cli::terminal::output::{Failure, print, print_note, print_styled};
use crate::cli::terminal::table::printable;
use crate::explain::{MissingTrait, MissingTraits};
use crate::words::{counted, grouped};

/// Shows the traits of all accounts.
pub(super) fn show(missing: &[MissingTrait], counts: &MissingTraits, json: bool) -> Result<(), Failure> {
    if json {
        return print(json_lines(missing)?);
    }
    let mut text = String::new();
    for (account, events) in counts.accounts() {
        let own: Vec<&MissingTrait> =
            missing.iter().filter(|missing| *missing.account == **account).collect();
        let of = counted(events, "event", "events");
        if own.is_empty() {
            text.extend([&*heading(account), "every trait of ", &*of, " has a field\n"]);
            continue;
        }
        let (number, have) = (own.len() as u64, if own.len() == 1 { "has" } else { "have" });
        let number = counted(number, "trait", "traits");
        text.extend([&*heading(account), &*format!("{number} of {of} {have} no field\n")]);
        let rows = own.into_iter().map(|missing| {
            let becomes =
                missing.reason.map_or("it is ignored".to_owned(), |reason| format!("dead letter: {reason}"));
            [printable(&missing.trait_path), grouped(missing.events), becomes, missing.nearest.join(", ")]
        });
        text.push_str(&aligned(["trait", "events", "what becomes of it", "nearest with a field"], rows));
    }
    if counts.left_out() > 0 {
        print_note("there are more than 10,000 different names; the rest is not counted");
    }
    if !missing.is_empty() {
        text.push_str(
            "\nWhat to do: add the field in Freshsales, rename the trait, or lead it to a field with [accounts.fields].\n",
        );
    }
    print_styled(&text)
}

fn heading(account: &str) -> String {
    format!("{BOLD}{account}{BOLD:#}: ")
}
