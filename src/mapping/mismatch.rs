//! Why a value does not fit its field. Made by the coercions of each type; a record turns it into a problem or an omission.

use serde_json::Value;

use crate::outcome::Problem;
use crate::segment::describe;

/// Why a value does not fit. Holds no part of the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TypeMismatch {
    pub(super) problem: String,
    pub(super) expected: String,
    pub(super) got: String,
}

impl TypeMismatch {
    pub(super) fn new(problem: &str, expected: impl Into<String>, got: &Value) -> Self {
        Self { problem: problem.into(), expected: expected.into(), got: describe(got) }
    }

    /// What a dead letter says of the value of this trait.
    pub(super) fn into_problem(self, field: &str, trait_path: String) -> Problem {
        Problem {
            field: Some(field.to_owned()),
            trait_path: Some(trait_path),
            problem: self.problem,
            expected: Some(self.expected),
            got: Some(self.got),
            ..Problem::default()
        }
    }
}
