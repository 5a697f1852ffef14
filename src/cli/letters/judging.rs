//! Judges dead letters by what would become of them now, for `dead-letters replay --if-valid`.

use std::sync::{Arc, Mutex, PoisonError};

use super::explaining::{ExplainedEvent, LetterExplainer};
use crate::broker::{LetterJudge, LetterVerdict};
use crate::explain::Ends;

/// Holds back letters that would not be delivered now. A letter whose account is not in the configuration passes: it goes
/// nowhere, and what sends the letters back says why.
pub(in crate::cli) fn judge(explainer: LetterExplainer) -> LetterJudge {
    let explainer = Mutex::new(explainer);
    Arc::new(move |letter, _| {
        let mut explainer = explainer.lock().unwrap_or_else(PoisonError::into_inner);
        if explainer.leads_nowhere(letter) {
            return LetterVerdict::Goes;
        }
        verdict(&explainer.events(letter))
    })
}

/// A batch goes back if something of it would be delivered, and nothing would become a dead letter.
fn verdict(events: &[ExplainedEvent]) -> LetterVerdict {
    let (mut delivered, mut skipped) = (false, None);
    for ExplainedEvent { explanation, unread, unsure } in events {
        let why = match (unread, explanation.ends, unsure) {
            (Some(why), _, _) => return LetterVerdict::Unknown(why.clone()),
            (None, Ends::DeadLetter(_), Some(why)) => {
                return LetterVerdict::Unknown(format!("depends on what cannot be known now: {why}"));
            }
            (None, Ends::DeadLetter(reason), None) => {
                format!("would be dead-lettered again: {}", reason.as_str())
            }
            (None, Ends::Skip(reason), _) => {
                skipped = Some(format!("would be skipped: {}", reason.as_str()));
                continue;
            }
            (None, Ends::Deliver, _) => {
                delivered = true;
                continue;
            }
        };
        return LetterVerdict::Stays(match explanation.index {
            Some(_) => format!("an event of the batch {why}"),
            None => why,
        });
    }
    match skipped {
        Some(why) if !delivered => LetterVerdict::Stays(why),
        Some(_) | None => LetterVerdict::Goes,
    }
}
