//! What people are told at the end of an order: what became of the letters, and why some stay.

use crate::broker::{LetterProgress, LetterState, StayingLetters};
use crate::cli::letters::command::{LetterCommand, nothing_matched};
use crate::cli::letters::told;
use crate::cli::terminal::output::{Failure, print, print_error};
use crate::cli::terminal::table::printable;

/// Says what became of an order, and why some letters stayed.
pub(super) fn conclude(
    command: &LetterCommand,
    end: &LetterProgress,
    json: bool,
    done: &str,
) -> Result<(), Failure> {
    if json {
        let line = serde_json::to_string(end).map_err(Failure::failed)?;
        return print(format!("{line}\n"));
    }
    if end.matched == 0 {
        return Ok(());
    }
    let mut text = format!("{} {done}", told::letters(end.done));
    if end.stay.count() > 0 {
        text.push_str(", ");
        text.push_str(&told::letters(end.stay.count()));
        text.push_str(" left in ");
        text.push_str(&command.queue.name());
    }
    text.push('\n');
    text.push_str(&told_causes(&end.stay));
    print(text)
}

/// Why letters stay, a line for each cause.
pub(super) fn told_causes(stay: &StayingLetters) -> String {
    let line =
        |(why, letters): (&String, &u64)| format!("  {}: {}\n", told::letters(*letters), printable(why));
    stay.causes.iter().map(line).collect()
}

/// Fails if letters could not be judged.
pub(super) fn judged(stay: &StayingLetters) -> Result<(), Failure> {
    if stay.unknown == 0 {
        return Ok(());
    }
    let letters = told::letters(stay.unknown);
    Err(Failure::Failed(format!("{letters} could not be judged; the same command tries them again")))
}

/// The exit status of an order that came to its end.
///
/// `limit`: letters beyond it were not looked at on purpose.
pub(super) fn verdict(
    command: &LetterCommand,
    end: &LetterProgress,
    limit: Option<u64>,
) -> Result<(), Failure> {
    match &end.state {
        LetterState::Stopped => {
            return Err(Failure::Failed(
                "stopped by a signal; the other letters stay where they are. The same command goes on"
                    .to_owned(),
            ));
        }
        LetterState::Starting | LetterState::Running | LetterState::Done | LetterState::Failed(_) => {}
    }
    if end.matched == 0 {
        return Err(nothing_matched(&command.queue.name()));
    }
    if limit.is_none_or(|limit| end.matched < limit)
        && let Some(note) =
            told::unseen(crate::broker::LettersSeen { at_start: end.at_start, seen: end.seen })
    {
        print_error(&note);
    }
    if end.stay.failed > 0 {
        return Err(Failure::Failed(format!("{} could not be sent back", told::letters(end.stay.failed))));
    }
    judged(&end.stay)
}
