//! Explanations against a real lane and the sandbox.
