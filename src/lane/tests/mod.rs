//! Tests of the lane as a whole.

mod cost;
mod large;
