//! The page of replicas and the broker.

use askama::Template;

use super::frame::Frame;
use crate::fleet::{FleetView, ReplicaInFleet};
use crate::status::view::headline;
use crate::status::view::snapshot::Snapshot;
use crate::status::view::words::{TimeShown, mebibytes};
use crate::words::{counted, grouped};

#[derive(Template)]
#[template(path = "status/templates/replicas.html")]
struct ReplicasPage {
    frame: Frame,
    headline: String,
    view: String,
    replicas: Vec<ReplicaShown>,
    broker: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct ReplicaShown {
    name: String,
    here: String,
    connected: &'static str,
    lanes: String,
    role: &'static str,
    version: String,
    version_differs: bool,
    since: TimeShown,
    memory: String,
    config: String,
    loaded: Option<TimeShown>,
    config_differs: bool,
}

pub(in crate::status) fn replicas(snapshot: &Snapshot) -> Result<String, askama::Error> {
    let fleet = &snapshot.fleet;
    let own = fleet.replicas.iter().find(|replica| replica.own);
    ReplicasPage {
        frame: Frame::new(&snapshot.replica, snapshot.at, "replicas", "api/status"),
        headline: headline::sentence(snapshot),
        view: match &fleet.view {
            FleetView::Alone => "Events come from a file: there are no other replicas.".to_owned(),
            FleetView::Shared => "Replicas tell each other of their lanes every few seconds.".to_owned(),
            FleetView::OwnOnly(why) => format!("Only this replica is known here: {why}."),
        },
        replicas: fleet.replicas.iter().map(|replica| shown(replica, own, snapshot)).collect(),
        broker: broker(snapshot),
    }
    .render()
}

fn shown(replica: &ReplicaInFleet, own: Option<&ReplicaInFleet>, snapshot: &Snapshot) -> ReplicaShown {
    let now = snapshot.at;
    let report = &replica.report;
    let here = match (replica.own, replica.gone) {
        (true, _) => "this one".to_owned(),
        (false, false) => "yes".to_owned(),
        (false, true) => format!("silent since {}", TimeShown::relative(replica.told_at, now).html()),
    };
    let differs = |of: fn(&ReplicaInFleet) -> &str| {
        own.is_some_and(|own| !of(own).is_empty() && !of(replica).is_empty() && of(own) != of(replica))
    };
    ReplicaShown {
        name: report.name.clone(),
        here,
        connected: if report.connected { "connected" } else { "not connected" },
        lanes: grouped(report.lanes),
        role: if report.routes { "routes" } else { "–" },
        version: match report.revision.as_str() {
            "" | "unknown" => report.version.clone(),
            revision => format!("{} ({revision})", report.version),
        },
        version_differs: differs(|one| &one.report.version) || differs(|one| &one.report.revision),
        since: TimeShown::relative(report.since, now),
        memory: report.memory_bytes.map_or_else(|| "–".to_owned(), mebibytes),
        config: report.config.hash.clone(),
        loaded: report.config.loaded_at.map(|loaded| TimeShown::relative(loaded, now)),
        config_differs: differs(|one| &one.report.config.hash),
    }
}

fn broker(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let Some(broker) = &snapshot.broker else { return vec![("RabbitMQ", "not used".to_owned())] };
    let fleet = &snapshot.fleet;
    let mut facts = Vec::new();
    facts.push(("Connection", if broker.connected { "connected" } else { "not connected" }.to_owned()));
    if !broker.why.is_empty() {
        facts.push(("Why", broker.why.clone()));
    }
    if let Some(version) = fleet.replicas.iter().find_map(|one| one.report.broker_version.clone()) {
        facts.push(("Version", version));
    }
    if let Some(intake) = fleet.queues.intake_waiting {
        facts.push(("On the intake", counted(intake, "message", "messages")));
    }
    if let Some(letters) = fleet.queues.dead_letters_waiting {
        facts.push(("Dead letters", counted(letters, "letter", "letters")));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::samples::{at, replica};
    use crate::status::assets::without_digests;
    use crate::status::view::snapshot::tests::snapshot;

    #[test]
    fn the_page_of_replicas_marks_what_differs_and_who_is_gone() {
        let mut shown = snapshot(Vec::new());
        let mut other = replica("<worker-1>");
        other.config.hash = "ba9876543210".to_owned();
        shown.fleet.replicas.push(ReplicaInFleet {
            report: other,
            told_at: at(3500),
            own: false,
            gone: true,
        });
        insta::assert_snapshot!(without_digests(&replicas(&shown).unwrap()));
    }
}
