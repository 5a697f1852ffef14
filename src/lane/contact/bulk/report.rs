//! What a job's report says of each record. Nothing is guessed: a report counts only if every failure in it belongs to
//! exactly one record.

use crate::freshsales::{FailedRow, Identifier, is_about_record};
use crate::lane::contact::refused::refusal::{Ground, RefusedCall};

/// What became of each work item's record; `None` unless every failure belongs to exactly one of them.
pub(in crate::lane) fn per_record(
    records: &[(u64, Option<Identifier>)],
    succeeded: u64,
    failures: &[FailedRow],
) -> Option<Vec<(u64, Option<RefusedCall>)>> {
    if succeeded + failures.len() as u64 != records.len() as u64 {
        return None;
    }
    let mut results: Vec<(u64, Option<RefusedCall>)> =
        records.iter().map(|(item, _)| (*item, None)).collect();
    for failure in failures {
        let named = |identifier: &Identifier| failure.names.iter().any(|name| identifier.matches(name));
        let mut matching = records
            .iter()
            .zip(&mut results)
            .filter(|((_, identifier), _)| identifier.as_ref().is_some_and(named))
            .map(|(_, (_, result))| result);
        let result = matching.next()?;
        if matching.next().is_some() || result.is_some() {
            return None;
        }
        // A failure without a message says nothing against the record.
        let has_message = !failure.messages.is_empty();
        let status = failure.status.or(has_message.then_some(400));
        let status = status.filter(|status| has_message || !is_about_record(*status));
        *result = Some(RefusedCall { status, ground: Ground::Rejected(failure.messages.clone()) });
    }
    Some(results)
}
