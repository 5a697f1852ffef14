//! Tests of the whole room.

mod fuzz;
