//! What one event costs that comes alone.

use std::time::Duration;

use freshet::config::DealIdentity;
use freshet::schema::Entity;
use serde_json::json;

use super::PREFETCH;
use super::kinds::terms;
use super::report;
use super::run::{Replica, Result, Simulation};
use super::traffic::{self, Kind};

pub fn print() {
    report::table_head(&["event alone", "new contact", "known contact, after a restart", "known contact"]);
    for (name, kind, identity) in [
        ("identify", Kind::Bare, DealIdentity::Contact),
        ("identify with company", Kind::WithCompany(1), DealIdentity::Contact),
        ("identify with company and deal, `contact`", Kind::Documented, DealIdentity::Contact),
        ("identify with company and deal, `name`", Kind::Documented, DealIdentity::Name),
        ("track", Kind::Track, DealIdentity::Contact),
        ("page", Kind::Page, DealIdentity::Contact),
        ("track by `userId`", Kind::TrackByUserId, DealIdentity::Contact),
    ] {
        let [new, cold, warm] = of(kind, identity).map(|result| words(&result));
        println!("| {name} | {new} | {cold} | {warm} |");
    }
}

/// The same event in three rounds: of a new contact, after a restart, and once more.
fn of(kind: Kind, identity: DealIdentity) -> [Result; 3] {
    let mut simulation = Simulation::new(terms(1000));
    let mut replica = simulation.replica(PREFETCH, identity);
    let new = alone(&mut simulation, &mut replica, kind, 1);
    if matches!(kind, Kind::Track | Kind::TrackByUserId | Kind::Page) {
        let data = json!({ "external_id": traffic::user_id(0) });
        let data = data.as_object().expect("an object");
        simulation.api.account.upsert(Entity::Contact, &traffic::email(0), data, simulation.now);
    }
    simulation.pause();
    let mut replica = simulation.replica(PREFETCH, identity);
    let cold = alone(&mut simulation, &mut replica, kind, 2);
    simulation.pause();
    let warm = alone(&mut simulation, &mut replica, kind, 3);
    [new, cold, warm]
}

fn alone(simulation: &mut Simulation, replica: &mut Replica, kind: Kind, round: u32) -> Result {
    let result =
        simulation.run(replica, &[Duration::ZERO], |number| traffic::event(kind, number, round), None);
    assert_eq!((result.unsettled, result.throttled), (0, 0));
    traffic::assert_written(&simulation.api.account, &traffic::event(kind, 0, round), &[]);
    result
}

/// Calls, and the time they take.
fn words(result: &Result) -> String {
    let calls = match (result.calls, result.tracking) {
        (calls, 0) => calls.to_string(),
        (0, tracking) => format!("{tracking} tracking"),
        (calls, tracking) => format!("{calls} and {tracking} tracking"),
    };
    let took = result.latency(1.0).unwrap_or_default();
    format!("{calls}, {} ms", took.as_millis())
}
