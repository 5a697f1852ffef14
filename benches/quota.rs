//! How many events a quota delivers: simulated traffic of several kinds, by Freshet, by other clients and by lower bounds.
//!
//! `cargo bench --bench quota` prints the tables of docs/PERFORMANCE.md; `-- days`, `-- kinds` or `-- costs` only that
//! one. `-- --calls` also tells by endpoint which calls Freshet made, with the records in them. The clock is simulated, so
//! all this is the same on every machine. Every run asserts that the modelled account holds what the events say. With
//! `-- --test`, or by `cargo test --bench quota`, the model is tested, and few events of each kind are run.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    unreachable_pub,
    reason = "a program that prints tables for people, and panics where the model does not hold"
)]

mod simulation;

use simulation::report::Targets;
use simulation::{checks, costs, days, kinds};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |word: &str| arguments.iter().any(|argument| argument == word);
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let asked = |word: &str| words.is_empty() || words.iter().any(|asked| *asked == word);
    checks::run();
    let mut targets = Targets::default();
    if given("--test") || !given("--bench") {
        kinds::print(kinds::Size { bare: 150, related: 60 }, &mut targets);
        costs::print();
        return;
    }
    if asked("days") {
        days::print(&mut targets);
        println!();
    }
    if asked("kinds") {
        kinds::print(kinds::FULL, &mut targets);
        println!();
    }
    if asked("days") || asked("kinds") {
        targets.print();
        println!();
    }
    if asked("costs") {
        costs::print();
    }
}
