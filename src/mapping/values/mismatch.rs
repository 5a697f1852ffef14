//! Why a value does not fit its field. Coercions make it; `record` turns it into a problem or an omission.

use crate::outcome::Problem;
use crate::segment::{Given, describe};

/// Holds no part of the value, which may be personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mapping) struct TypeMismatch {
    pub(in crate::mapping) problem: String,
    pub(in crate::mapping) expected: String,
    pub(in crate::mapping) got: String,
}

impl TypeMismatch {
    pub(in crate::mapping) fn new(problem: &str, expected: impl Into<String>, got: &Given<'_>) -> Self {
        Self { problem: problem.into(), expected: expected.into(), got: describe(got) }
    }

    pub(in crate::mapping) fn into_problem(self, field: &str, trait_path: String) -> Problem {
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
