//! Reads the answer to a question for an entity's fields, or says why it is of no use.

use serde_json::Value;

use crate::mapping::SchemaGap;
use crate::schema::{Entity, Fields, LeftOut};

/// Why fields are not known, where this came instead of them.
pub(super) fn gap(result: &Result<Value, u16>) -> SchemaGap {
    match result {
        Err(403) => SchemaGap::Forbidden,
        Err(404 | 410) => SchemaGap::Missing,
        Ok(_) | Err(_) => SchemaGap::NotYet,
    }
}

/// The fields of an answer, or of the status that came instead; 0 where no answer came.
pub(super) fn parse(account: &str, entity: Entity, result: Result<Value, u16>) -> Result<Fields, String> {
    let word = entity.singular();
    let (fields, left_out) = match result.map(|answer| Fields::read(&answer)) {
        // Contacts always have fields. An empty list would have every trait ignored.
        Ok(Some((fields, _))) if entity == Entity::Contact && fields.is_empty() => {
            return Err(format!("the {word} fields cannot be understood: the list names none"));
        }
        Ok(Some(read)) => read,
        Ok(None) => return Err(format!("the {word} fields cannot be understood: there is no list of them")),
        Err(0) => return Err(format!("the {word} fields cannot be read: Freshsales does not answer")),
        Err(status) => {
            return Err(format!(
                "reading the {word} fields is answered with {status}: check the account's url"
            ));
        }
    };
    for LeftOut { name, why } in left_out {
        tracing::warn!(account, entity = word, field = name, why, "a field is left out");
    }
    Ok(fields)
}
