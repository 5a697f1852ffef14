//! What is found of queues and exchanges.

use super::context::BrokerContext;
use crate::broker::{ExchangeState, NameState, Names, ObjectsReport, QueueDifference, QueueState};
use crate::check::finding::CheckFindings;
use crate::check::words::listed;
use crate::words::counted;

/// So many queues that differ are listed one by one.
const QUEUES_LISTED: usize = 10;
const LATER: &str = "declared at the first start";

pub(super) fn exchanges(objects: &ObjectsReport, names: &Names, findings: &mut CheckFindings) {
    const CHECK: &str = "exchanges";
    let both =
        [(names.lanes().to_owned(), &objects.exchanges.lanes), (names.dead(), &objects.exchanges.dead)];
    let status = names.status();
    let mut missing = Vec::new();
    for (name, state) in &both {
        match state {
            ExchangeState::AsDeclared => {}
            ExchangeState::Missing => missing.push(name),
            ExchangeState::Differs(why) => findings.fail(
                CHECK,
                format!("the exchange {name} is of another kind: {why}"),
                "delete it, or give broker.queue another name: Freshet cannot use it",
            ),
            ExchangeState::Unknown(why) => {
                findings.fail(CHECK, format!("the exchange {name}: {why}"), "look into RabbitMQ's log");
            }
        }
    }
    match &objects.exchanges.status {
        ExchangeState::AsDeclared => {}
        ExchangeState::Missing => missing.push(&status),
        ExchangeState::Differs(why) => findings.warn(
            CHECK,
            format!("the exchange {status} is of another kind, so each replica's pages show its own lanes only: {why}"),
            "delete it: the next replica that starts declares it",
        ),
        ExchangeState::Unknown(why) => {
            findings.warn(CHECK, format!("the exchange {status}: {why}"), "look into RabbitMQ's log");
        }
    }
    if findings.nothing_for(CHECK) {
        match missing.as_slice() {
            [] => findings.ok(CHECK, format!("{}, {} and {status} are there", names.lanes(), names.dead())),
            missing => findings.ok(CHECK, format!("{}: {LATER}", listed(missing))),
        }
    }
}

/// Names that one connection at a time reserves.
pub(super) fn reserved(objects: &ObjectsReport, names: &Names, findings: &mut CheckFindings) {
    const CHECK: &str = "reserved_names";
    let mut told = Vec::new();
    for (queue, state) in &objects.reserved {
        let is_claim = *queue == names.dead_claim();
        match state {
            NameState::Free => told.push(format!("{queue} is free")),
            NameState::Reserved if is_claim => {
                told.push(format!("{queue}: somebody replays or drops letters now"));
            }
            NameState::Reserved => told.push(format!("{queue}: a replica counts what waits")),
            NameState::Ordinary => findings.warn(
                CHECK,
                format!(
                    "{queue} is an ordinary queue, so {}",
                    if is_claim {
                        "no letters can be replayed or dropped"
                    } else {
                        "nobody counts what waits"
                    }
                ),
                "delete it: Freshet reserves this name, and puts nothing into it",
            ),
            NameState::Unknown(why) => {
                findings.warn(CHECK, format!("{queue}: {why}"), "look into RabbitMQ's log");
            }
        }
    }
    if findings.nothing_for(CHECK) {
        findings.ok(CHECK, told.join("; "));
    }
}

pub(super) fn queues(objects: &ObjectsReport, context: BrokerContext<'_>, findings: &mut CheckFindings) {
    let names = context.names;
    one("intake", names.intake(), &objects.intake, findings);
    lanes(objects, findings);
    let BrokerContext { accounts, .. } = context;
    for (account, state) in accounts.iter().zip(&objects.lanes) {
        unusable("lanes", &names.lane(account), state, findings);
    }
    dead_letters(&names.dead(), &objects.dead, findings);
    let lanes = accounts.iter().map(|account| names.lane(account)).zip(&objects.lanes);
    let all = [(names.intake().to_owned(), &objects.intake), (names.dead(), &objects.dead)];
    arguments(all.into_iter().chain(lanes), findings);
}

fn one(check: &'static str, name: &str, state: &QueueState, findings: &mut CheckFindings) {
    match state {
        QueueState::Missing => findings.ok(check, format!("{name}: {LATER}")),
        QueueState::There { waiting, consumers, differences }
            if !differences.iter().flatten().any(|one| *one == QueueDifference::Stream) =>
        {
            let events = counted(u64::from(*waiting), "message waits", "messages wait");
            let by = if *consumers == 0 { "nobody consumes it" } else { "it is consumed" };
            findings.ok(check, format!("{name}: {events}, {by}"));
        }
        QueueState::There { .. } | QueueState::Exclusive | QueueState::Unknown(_) => {
            unusable(check, name, state, findings);
        }
    }
}

fn unusable(check: &'static str, name: &str, state: &QueueState, findings: &mut CheckFindings) {
    match state {
        QueueState::There { differences, .. }
            if differences.iter().flatten().any(|one| *one == QueueDifference::Stream) =>
        {
            findings.fail(
                check,
                format!("{name} is a stream, whose consumers do not get what was published before they came"),
                "put a quorum queue in its place",
            );
        }
        QueueState::Exclusive => findings.fail(
            check,
            format!("{name} is exclusive to another connection"),
            "put a quorum queue in its place",
        ),
        QueueState::Unknown(why) => findings.fail(
            check,
            format!("{name}: {why}"),
            "has the queue a leader? rabbitmq-queues quorum_status QUEUE; docs/RUNBOOK.md",
        ),
        QueueState::Missing | QueueState::There { .. } => {}
    }
}

fn lanes(objects: &ObjectsReport, findings: &mut CheckFindings) {
    let (mut there, mut missing, mut waiting, mut other) = (0_u64, 0_u64, 0_u64, 0_u64);
    for state in &objects.lanes {
        match state {
            QueueState::There { waiting: here, .. } => {
                there += 1;
                waiting += u64::from(*here);
            }
            QueueState::Missing => missing += 1,
            QueueState::Exclusive | QueueState::Unknown(_) => other += 1,
        }
    }
    if there + missing == 0 && other > 0 {
        return;
    }
    let mut parts = Vec::new();
    if there > 0 {
        let events = counted(waiting, "event waits", "events wait");
        parts.push(format!("{} there, {events}", counted(there, "lane", "lanes")));
    }
    if missing > 0 {
        parts.push(format!("{}: {LATER}", counted(missing, "lane", "lanes")));
    }
    findings.ok("lanes", parts.join("; "));
}

fn dead_letters(name: &str, state: &QueueState, findings: &mut CheckFindings) {
    const CHECK: &str = "dead_letters";
    match state {
        QueueState::There { waiting: waiting @ 1.., .. } => findings.warn(
            CHECK,
            format!("{} in {name}", counted(u64::from(*waiting), "letter waits", "letters wait")),
            "freshet dead-letters list says why",
        ),
        QueueState::There { .. } => findings.ok(CHECK, format!("none in {name}")),
        QueueState::Missing => findings.ok(CHECK, format!("{name}: {LATER}")),
        QueueState::Exclusive | QueueState::Unknown(_) => unusable(CHECK, name, state, findings),
    }
}

fn arguments<'a>(queues: impl Iterator<Item = (String, &'a QueueState)>, findings: &mut CheckFindings) {
    const CHECK: &str = "queue_arguments";
    let (mut looked_at, mut differing) = (0_u64, 0);
    for (name, state) in queues {
        let QueueState::There { differences: Some(differences), .. } = state else { continue };
        looked_at += 1;
        if differences.is_empty() {
            continue;
        }
        differing += 1;
        if differing > QUEUES_LISTED {
            continue;
        }
        let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
        let remedy = if differences.iter().any(QueueDifference::may_lose) {
            "it may lose events: move what waits elsewhere, delete it, and let Freshet declare it at its start"
        } else {
            "Freshet uses it as it is; to get its own arguments, delete the queue when it is empty, and start a replica"
        };
        findings.warn(CHECK, format!("{name}: {}", texts.join("; ")), remedy);
    }
    if let Some(more @ 1..) = differing.checked_sub(QUEUES_LISTED) {
        findings.warn(
            CHECK,
            format!("{} more differ", counted(more as u64, "queue", "queues")),
            "check them with --account",
        );
    }
    if findings.nothing_for(CHECK) {
        match looked_at {
            0 => findings.ok(CHECK, "no queue is there yet"),
            queues => {
                findings
                    .ok(CHECK, format!("as Freshet declares them: {}", counted(queues, "queue", "queues")));
            }
        }
    }
}
