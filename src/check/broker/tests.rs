use super::*;
use crate::broker::{
    ExchangeState, ExchangesReport, NameState, ObjectsReport, QueueDifference, QueueState, RightsReport,
};
use crate::check::CheckStatus;

fn facts(version: &str) -> NodeFacts {
    NodeFacts {
        product: Some("RabbitMQ".to_owned()),
        version: Some(version.to_owned()),
        channels: 2047,
        ..NodeFacts::default()
    }
}

fn there(waiting: u32, differences: &[QueueDifference]) -> QueueState {
    QueueState::There { waiting, consumers: 1, differences: Some(differences.to_vec()) }
}

/// A broker as it is after the first start.
fn objects() -> ObjectsReport {
    ObjectsReport {
        publishing: Publishing::Confirmed,
        rights: Certainty::Known(RightsReport { lanes: 1, ..RightsReport::default() }),
        exchanges: ExchangesReport {
            lanes: ExchangeState::AsDeclared,
            dead: ExchangeState::AsDeclared,
            status: ExchangeState::AsDeclared,
        },
        reserved: vec![
            ("q.counter".to_owned(), NameState::Reserved),
            ("q.dead.claim".to_owned(), NameState::Free),
        ],
        intake: there(0, &[]),
        dead: there(0, &[]),
        lanes: vec![there(0, &[])],
        name_taken: Certainty::Known(false),
    }
}

fn findings(nodes: Vec<Result<NodeFacts, NodeFailure>>, objects: Option<ObjectsReport>) -> Vec<Finding> {
    let nodes = nodes.into_iter().map(|found| SurveyedNode { address: "broker:5672".to_owned(), found });
    let survey = BrokerSurvey { nodes: nodes.collect(), objects };
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let accounts = ["acme".into()];
    let context = BrokerContext { names: &Names::new("q"), replica: "one", accounts: &accounts, now };
    let found = broker(&survey, context);
    for finding in &found {
        assert_eq!(finding.remedy.is_none(), finding.status == CheckStatus::Ok, "{finding:?}");
    }
    found
}

/// The statuses of one check, and its messages.
fn of(findings: &[Finding], check: &str) -> (Vec<CheckStatus>, String) {
    let found: Vec<&Finding> = findings.iter().filter(|finding| finding.check == check).collect();
    let messages: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    (found.iter().map(|finding| finding.status).collect(), messages.join("\n"))
}

fn changed(check: &str, change: impl FnOnce(&mut ObjectsReport)) -> (Vec<CheckStatus>, String) {
    let mut objects = objects();
    change(&mut objects);
    of(&findings(vec![Ok(facts("4.1.2"))], Some(objects)), check)
}

use CheckStatus::{Failed, Ok as Good, Skipped, Warning};

#[test]
fn of_a_sound_broker_only_what_amqp_does_not_show_is_skipped() {
    let found = findings(vec![Ok(facts("4.1.2"))], Some(objects()));
    let others = found.iter().filter(|finding| finding.status != Good);
    assert_eq!(others.map(|finding| finding.check).collect::<Vec<_>>(), ["policies", "stray_queues"]);
}

#[test]
fn each_version_has_its_verdict() {
    for (version, nodes, status) in [
        ("3.13.7", 1, Warning),
        ("4.0.5", 1, Good),
        ("4.0.5", 3, Warning),
        ("4.0.6", 3, Good),
        ("4.2.0-rc.1", 3, Good),
        ("5.0.0", 3, Good),
        ("unknown", 1, Warning),
    ] {
        let found = findings(vec![Ok(facts(version)); nodes], Some(objects()));
        assert_eq!(of(&found, "version").0, [status], "{version} {nodes}");
    }
    let other = NodeFacts { product: Some("LavinMQ".to_owned()), ..facts("4.1.2") };
    assert_eq!(of(&findings(vec![Ok(other)], Some(objects())), "version").0, [Warning]);
}

#[test]
fn a_node_that_lets_nobody_in_is_a_failure_and_the_next_one_is_looked_at() {
    let steps = [
        (ConnectStep::Name, "DNS"),
        (ConnectStep::Network, "firewall"),
        (ConnectStep::Tls, "broker.ca_file"),
        (ConnectStep::Protocol, "port"),
        (ConnectStep::Login, "password"),
    ];
    for (step, part) in steps {
        let failure = NodeFailure { step, why: "why".to_owned() };
        let found = findings(vec![Err(failure.clone())], None);
        assert_eq!(found.iter().map(|finding| finding.status).collect::<Vec<_>>(), [Failed, Skipped]);
        assert!(found[0].remedy.as_ref().unwrap().contains(part), "{step:?}");
        let found = findings(vec![Err(failure), Ok(facts("4.1.2"))], Some(objects()));
        assert_eq!(of(&found, "connection").0, [Failed, Good]);
        assert_eq!(of(&found, "permissions").0, [Good]);
    }
    let few = NodeFacts { channels: 4, ..facts("4.1.2") };
    assert_eq!(of(&findings(vec![Ok(few)], Some(objects())), "connection").0, [Failed]);
}

#[test]
fn what_came_of_a_message_has_a_verdict() {
    for (publishing, status) in [
        (Publishing::Confirmed, Good),
        (Publishing::NoProbeQueue, Good),
        (Publishing::Blocked("low on memory".to_owned()), Failed),
        (Publishing::Unconfirmed, Failed),
        (Publishing::NotPermitted, Skipped),
        (Publishing::Unknown("x".to_owned()), Failed),
    ] {
        let (found, message) = changed("takes_messages", |objects| objects.publishing = publishing.clone());
        assert_eq!(found, [status], "{publishing:?}: {message}");
    }
}

#[test]
fn rights_that_are_missing_are_one_failure_each() {
    let refused = |right, object: &str| RefusedRight { right, object: object.to_owned() };
    let (found, message) = changed("permissions", |objects| {
        let refused = vec![refused("configure", "q"), refused("read", "q"), refused("configure", "q.dead")];
        objects.rights = Certainty::Known(RightsReport { refused, lanes: 1 });
    });
    assert_eq!(found, [Failed, Failed]);
    assert_eq!(message, "no permission to configure q, q.dead\nno permission to read q");
    let (found, _) = changed("permissions", |objects| objects.rights = Certainty::Unknown("late".to_owned()));
    assert_eq!(found, [Failed]);
}

#[test]
fn queues_and_exchanges_have_a_verdict_in_each_state() {
    let stream = there(0, &[QueueDifference::Stream]);
    for (state, status) in [
        (QueueState::Missing, Good),
        (there(12_345, &[]), Good),
        (stream, Failed),
        (QueueState::Exclusive, Failed),
        (QueueState::Unknown("late".to_owned()), Failed),
    ] {
        assert_eq!(changed("intake", |objects| objects.intake = state.clone()).0, [status], "{state:?}");
        let (found, message) = changed("lanes", |objects| objects.lanes = vec![state.clone()]);
        assert!(found.contains(&status) && found.iter().all(|one| [Good, status].contains(one)), "{message}");
    }
    let (found, message) = changed("lanes", |objects| objects.lanes = vec![there(12_345, &[])]);
    assert_eq!((found, message.as_str()), (vec![Good], "1 lane there, 12,345 events wait"));
    for (state, status) in
        [(there(1, &[]), Warning), (QueueState::Missing, Good), (QueueState::Exclusive, Failed)]
    {
        assert_eq!(changed("dead_letters", |objects| objects.dead = state.clone()).0, [status], "{state:?}");
    }
    for (state, status) in [
        (ExchangeState::Missing, Good),
        (ExchangeState::Differs("type".to_owned()), Failed),
        (ExchangeState::Unknown("late".to_owned()), Failed),
    ] {
        assert_eq!(changed("exchanges", |objects| objects.exchanges.dead = state.clone()).0, [status]);
    }
}

#[test]
fn queues_that_differ_are_listed_up_to_a_bound() {
    let differing = there(0, &[QueueDifference::MessageTtl, QueueDifference::NoDeadLetterExchange]);
    let (found, message) = changed("queue_arguments", |objects| objects.intake = differing.clone());
    assert_eq!(found, [Warning]);
    assert!(message.starts_with("q: x-message-ttl") && message.contains("; no x-dead-letter-exchange"));
    let names: Vec<crate::delivery::AccountName> =
        (0..30).map(|number| format!("a{number}").into()).collect();
    let objects = ObjectsReport { lanes: vec![differing; 30], ..objects() };
    let nodes = vec![SurveyedNode { address: "broker:5672".to_owned(), found: Ok(facts("4.1.2")) }];
    let survey = BrokerSurvey { nodes, objects: Some(objects) };
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let context = BrokerContext { names: &Names::new("q"), replica: "one", accounts: &names, now };
    let (found, message) = of(&broker(&survey, context), "queue_arguments");
    assert_eq!(found.len(), 11);
    assert!(message.ends_with("20 queues more differ"), "{message}");
}

#[test]
fn a_name_that_is_taken_is_a_warning() {
    for (taken, status) in [
        (Certainty::Known(false), Good),
        (Certainty::Known(true), Warning),
        (Certainty::Unknown("late".to_owned()), Skipped),
    ] {
        assert_eq!(changed("replica_name", |objects| objects.name_taken = taken.clone()).0, [status]);
    }
}

#[test]
fn names_that_cannot_be_reserved_are_told_with_what_there_is_not_without_them() {
    let reserved = |counter, claim| {
        let states = vec![("q.counter".to_owned(), counter), ("q.dead.claim".to_owned(), claim)];
        changed("reserved_names", |objects| objects.reserved = states)
    };
    for (counter, claim, statuses, part) in [
        (NameState::Free, NameState::Reserved, vec![Good], "somebody replays or drops letters now"),
        (NameState::Ordinary, NameState::Free, vec![Warning], "nobody counts what waits"),
        (NameState::Reserved, NameState::Ordinary, vec![Warning], "no letters can be replayed or dropped"),
        (NameState::Unknown("late".to_owned()), NameState::Free, vec![Warning], "q.counter: late"),
    ] {
        let (found, messages) = reserved(counter, claim);
        assert!(found == statuses && messages.contains(part), "{messages}");
    }
    let differs = ExchangeState::Differs("it is direct".to_owned());
    let (found, messages) = changed("exchanges", |objects| objects.exchanges.status = differs);
    assert!(found == [Warning] && messages.contains("q.status is of another kind"), "{messages}");
}

#[test]
fn what_events_can_be_delivered_without_is_a_warning() {
    for (object, status) in [
        ("q.status", Warning),
        ("q.status.one.0", Warning),
        ("q.counter", Warning),
        ("q.dead.claim", Warning),
        ("q.dead", Failed),
    ] {
        let refused = vec![crate::broker::RefusedRight { right: "configure", object: object.to_owned() }];
        let report = Certainty::Known(RightsReport { lanes: 1, refused });
        assert_eq!(changed("permissions", |objects| objects.rights = report).0, [status], "{object}");
    }
}
