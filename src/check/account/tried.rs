//! What came of the attempts with an account's key: each right, and the fields. What they mean, `verdict` says.

use serde_json::Value;

use crate::schema::{Entity, Fields, LeftOut, PerEntity, Schema};

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tried<T> {
    /// It works.
    Works(T),
    /// The key's user has no right to it, in Freshsales' words.
    Forbidden(String),
    /// Another answer, in words.
    Odd(String),
    /// Not tried, because an attempt before it showed that it would be in vain.
    #[default]
    Not,
}

impl<T> Tried<T> {
    /// What comes of what worked.
    pub(super) fn and_then<U>(self, judge: impl FnOnce(T) -> Tried<U>) -> Tried<U> {
        match self {
            Self::Works(answer) => judge(answer),
            Self::Forbidden(why) => Tried::Forbidden(why),
            Self::Odd(why) => Tried::Odd(why),
            Self::Not => Tried::Not,
        }
    }
}

/// What the key's user may do beside reading fields.
#[derive(Debug, Default)]
pub struct RightsTried {
    /// Reading a record.
    pub records: PerEntity<Tried<()>>,
    /// Looking a contact up.
    pub lookup: Tried<()>,
    /// Asking for the status of a bulk job.
    pub jobs: Tried<()>,
    /// Searching for contacts.
    pub search: Tried<()>,
}

/// The account's fields, as far as they could be read.
#[derive(Debug, Default)]
pub struct FieldsTried {
    /// How many there are.
    pub counts: PerEntity<Tried<usize>>,
    /// What was read of them.
    pub schema: Schema,
    /// Those that cannot be used.
    pub left_out: Vec<LeftOut>,
}

impl FieldsTried {
    pub(super) fn keep(&mut self, entity: Entity, tried: Tried<Value>) {
        *self.counts.of_mut(entity) = tried.and_then(|body| self.read(entity, &body));
    }

    fn read(&mut self, entity: Entity, body: &Value) -> Tried<usize> {
        let Some((fields, left_out)) = Fields::read(body) else {
            return Tried::Odd("the answer has no list of fields".to_owned());
        };
        if fields.is_empty() {
            return Tried::Odd("no field of the answer can be used".to_owned());
        }
        let count = fields.fields.len();
        self.left_out.extend(left_out);
        *self.schema.of_mut(entity) = fields;
        Tried::Works(count)
    }
}
