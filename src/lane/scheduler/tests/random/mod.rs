//! Random events against a modelled account: each settles once, in order, and nothing is written twice or over others'
//! writing. A case that failed once stays in `proptest-regressions`.

mod address_model;
mod agenda;
mod any_account;
mod links_model;
