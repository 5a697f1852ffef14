//! Judges dead letters by what would become of them now.

use std::sync::Mutex;

use tokio::time::Instant;

use super::Explaining;
use crate::broker::LetterJudge;
use crate::cli::output::Failure;
use crate::cli::running_lanes::keys;
use crate::config::Config;
use crate::dead_letter::Letter;
use crate::explain::{Ends, Explainer};
use crate::file_feed::{EventReader, ReadLine};
use crate::routing::AccountIndex;
use crate::schema::Selector;

/// A judge that holds back letters which would not be delivered now. Reads the fields of these accounts.
pub(in crate::cli) async fn letter_judge(
    config: &Config,
    accounts: &[String],
) -> Result<LetterJudge, Failure> {
    let mut explaining = Explaining::online(config)?;
    for account in config.accounts.iter().filter(|account| accounts.iter().any(|name| *name == *account.name))
    {
        explaining.read_fields(account).await?;
        // A value may need any of them, and a letter is judged without asking again.
        explaining.read_selectors(account, Selector::ALL).await?;
    }
    let index = AccountIndex::new(&config.accounts.iter().map(keys).collect::<Vec<_>>()).into();
    let reader = EventReader::new(index, config.broker.opener());
    let judging = Mutex::new((reader, explaining.explainer));
    Ok(std::sync::Arc::new(move |letter: &Letter, _| {
        let mut judging = judging.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (reader, explainer) = &mut *judging;
        judge(reader, explainer, letter)
    }))
}

/// A letter is read as `explain` reads it from a file.
fn judge(reader: &mut EventReader, explainer: &mut Explainer, letter: &Letter) -> Result<(), String> {
    let line = letter.to_line().map_err(|error| error.to_string())?;
    reader.take(ReadLine::Whole(line));
    let mut verdict = Ok(());
    while let Some(read) = reader.next_event() {
        let known = read.account().is_none_or(|(name, _)| explainer.account(name).is_some());
        let explanation = explainer.explain(&read, reader.glimpse(&read), Instant::now());
        let ends = match explanation.ends {
            Ends::Deliver if known => Ok(()),
            Ends::Deliver => Err("the fields of its account were not read; try again".to_owned()),
            Ends::Skip(reason) => Err(format!("would be skipped: {}", reason.as_str())),
            Ends::DeadLetter(reason) => Err(format!("would be dead-lettered again: {}", reason.as_str())),
        };
        verdict = verdict.and(ends);
    }
    verdict
}
