//! What is found of RabbitMQ. Pure: the survey is handed in.

mod context;
mod objects;

use super::certificate;
use super::finding::{CheckFindings, Finding, Subject};
use super::words::listed;
use crate::broker::{
    BrokerSurvey, Certainty, ConnectStep, Names, NodeFacts, NodeFailure, Publishing, RefusedRight,
    SurveyedNode,
};
pub use context::BrokerContext;

/// Says what the survey found.
pub fn broker(survey: &BrokerSurvey, context: BrokerContext<'_>) -> Vec<Finding> {
    let mut findings = CheckFindings::about(Subject::Broker);
    for node in &survey.nodes {
        connection(node, &mut findings);
    }
    let let_in = || survey.nodes.iter().filter_map(|node| Some((node, node.found.as_ref().ok()?)));
    for (node, facts) in let_in() {
        if let Some(der) = &facts.certificate {
            certificate::judge(&node.address, der, context.now, &mut findings);
        }
    }
    let Some(((_, first), objects)) = let_in().next().zip(survey.objects.as_ref()) else {
        findings.skip(
            "objects",
            "permissions, queues and alarms: no node let this in",
            "mend the connection first, then check again",
        );
        return findings.finish();
    };
    version(first, survey.nodes.len() > 1, &mut findings);
    publishing(&objects.publishing, context.names, &mut findings);
    permissions(objects, context.names, &mut findings);
    objects::exchanges(objects, context.names, &mut findings);
    objects::reserved(objects, context.names, &mut findings);
    objects::queues(objects, context, &mut findings);
    replica_name(&objects.name_taken, context.replica, &mut findings);
    not_shown(context.names, &mut findings);
    findings.finish()
}

/// Says that the broker was not asked, and why.
pub fn broker_not_asked(message: &str, remedy: &str) -> Vec<Finding> {
    let mut findings = CheckFindings::about(Subject::Broker);
    findings.skip("connection", message, remedy);
    findings.finish()
}

fn connection(node: &SurveyedNode, findings: &mut CheckFindings) {
    const CHECK: &str = "connection";
    let address = &node.address;
    match &node.found {
        Ok(facts) if !facts.has_enough_channels() => findings.fail(
            CHECK,
            format!("{address}: logged in, but a connection may have {} channels only", facts.channels),
            "raise channel_max in rabbitmq.conf, or in broker.url: 2047 is RabbitMQ's default",
        ),
        Ok(facts) => {
            let tls = if facts.certificate.is_some() { " over TLS" } else { "" };
            findings.ok(CHECK, format!("{address}: logged in{tls}, {}", named(facts)));
        }
        Err(NodeFailure { step, why }) => {
            let remedy = match step {
                ConnectStep::Name => "correct the host in broker.url, or look at the DNS of this machine",
                ConnectStep::Network => {
                    "is RabbitMQ running, the port in broker.url right (5672, with TLS 5671), and no firewall between?"
                }
                ConnectStep::Tls => {
                    "broker.ca_file names a private authority; amqps:// in broker.url needs the port for TLS, mostly 5671"
                }
                ConnectStep::Protocol => {
                    "correct the port in broker.url; a proxy must have a broker behind it"
                }
                ConnectStep::Login => {
                    "correct user, password and virtual host in broker.url; rabbitmqctl authenticate_user USER, \
                     rabbitmqctl list_vhosts and rabbitmqctl list_user_permissions USER show what is there"
                }
            };
            findings.fail(CHECK, format!("{address}: {why}"), remedy);
        }
    }
}

fn named(facts: &NodeFacts) -> String {
    let product = facts.product.as_deref().unwrap_or("a broker without a name");
    let version = facts.version.as_deref().unwrap_or("of unknown version");
    match &facts.cluster {
        Some(cluster) => format!("{product} {version}, cluster {cluster}"),
        None => format!("{product} {version}"),
    }
}

fn version(facts: &NodeFacts, several: bool, findings: &mut CheckFindings) {
    const CHECK: &str = "version";
    let numbers = facts.version.as_deref().and_then(numbers);
    match numbers {
        _ if facts.product.as_deref() != Some("RabbitMQ") => findings.warn(
            CHECK,
            "this does not call itself RabbitMQ",
            "use RabbitMQ 4: Freshet relies on its quorum queues",
        ),
        None => findings.warn(
            CHECK,
            "it does not tell its version",
            "use RabbitMQ 4: Freshet relies on its quorum queues",
        ),
        Some((..=3, ..)) => findings.warn(
            CHECK,
            "before RabbitMQ 4: lanes are not handed over by priority, so the first replica keeps them all until it leaves",
            "upgrade to RabbitMQ 4, or run one replica",
        ),
        Some(old) if old <= (4, 0, 5) && several => findings.warn(
            CHECK,
            "up to 4.0.5 a cluster may forget acknowledgements: events are then delivered again, late",
            "upgrade the cluster to a version after 4.0.5",
        ),
        Some(old) if old <= (4, 0, 5) => findings.ok(
            CHECK,
            "lanes are handed over by priority; for a cluster take a version after 4.0.5, which forgets no acknowledgements",
        ),
        Some(_) => findings.ok(CHECK, "lanes are handed over by priority"),
    }
}

/// `4.1.2`, `4.2.0-rc.1`
fn numbers(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    Some((parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)))
}

fn publishing(publishing: &Publishing, names: &Names, findings: &mut CheckFindings) {
    const CHECK: &str = "takes_messages";
    match publishing {
        Publishing::Confirmed => findings.ok(CHECK, "a message was confirmed, and there is no alarm"),
        Publishing::NoProbeQueue => findings.ok(
            CHECK,
            format!("no alarm; whether it confirms is tried once {} is there", names.probe()),
        ),
        Publishing::Blocked(why) => findings.fail(
            CHECK,
            format!("an alarm: it takes no messages for now ({why})"),
            "free memory or disk on its node: rabbitmq-diagnostics alarms, and docs/RUNBOOK.md",
        ),
        Publishing::Unconfirmed => findings.fail(
            CHECK,
            format!("a message to {} was not confirmed", names.probe()),
            "are most nodes of the cluster up? rabbitmq-diagnostics check_if_node_is_quorum_critical; docs/RUNBOOK.md",
        ),
        Publishing::NotPermitted => findings.skip(
            CHECK,
            "this user may not publish to the exchange of the lanes",
            "grant the permissions, then check again",
        ),
        Publishing::Unknown(why) => findings.fail(
            CHECK,
            format!("it could not be tried: {why}"),
            "check again; if it stays, look into RabbitMQ's log",
        ),
    }
}

const PERMISSIONS: &str = "rabbitmqctl set_permissions as in docs/RABBITMQ.md, Permissions";

/// What there is not without an object that events can be delivered without.
fn without(names: &Names, object: &str) -> Option<&'static str> {
    if object == names.counter() {
        Some("nobody counts what waits, unless another replica may")
    } else if object == names.dead_claim() {
        Some("this user cannot replay or drop letters")
    } else if object.starts_with(&names.status()) {
        Some("the pages of each replica show its own lanes only")
    } else {
        None
    }
}

fn permissions(objects: &crate::broker::ObjectsReport, names: &Names, findings: &mut CheckFindings) {
    const CHECK: &str = "permissions";
    let report = match &objects.rights {
        Certainty::Known(report) => report,
        Certainty::Unknown(why) => {
            return findings.fail(CHECK, why.clone(), "check again; if it stays, look into RabbitMQ's log");
        }
    };
    for right in ["configure", "write", "read"] {
        let refused = report.refused.iter().filter(|refused| refused.right == right);
        let objects = refused.map(|RefusedRight { object, .. }| object.as_str());
        let (beside, needed): (Vec<&str>, Vec<&str>) =
            objects.partition(|object| without(names, object).is_some());
        if !needed.is_empty() {
            findings.fail(CHECK, format!("no permission to {right} {}", listed(&needed)), PERMISSIONS);
        }
        for object in beside {
            let lost = without(names, object).unwrap_or_default();
            findings.warn(CHECK, format!("no permission to {right} {object}: {lost}"), PERMISSIONS);
        }
    }
    if findings.nothing_for(CHECK) {
        let lanes = match (report.lanes, objects.lanes.len()) {
            (tried, all) if tried < all => format!("; tried on {tried} of {all} lanes"),
            _ => String::new(),
        };
        findings.ok(CHECK, format!("configure, write and read wherever Freshet needs them{lanes}"));
    }
}

fn replica_name(taken: &Certainty<bool>, replica: &str, findings: &mut CheckFindings) {
    const CHECK: &str = "replica_name";
    match taken {
        Certainty::Known(false) => findings.ok(CHECK, format!("`{replica}` is free")),
        Certainty::Known(true) => findings.warn(
            CHECK,
            format!("a replica that runs now goes by the name `{replica}`"),
            "fine if that is this one; another one needs a broker.replica of its own",
        ),
        Certainty::Unknown(why) => findings.skip(
            CHECK,
            format!("whether `{replica}` is taken: {why}"),
            "the daemon tells it, too: freshet_replica_name_taken",
        ),
    }
}

/// What AMQP does not show.
fn not_shown(names: &Names, findings: &mut CheckFindings) {
    findings.skip(
        "policies",
        "AMQP does not show policies, and one with message-ttl, max-length or expires may drop events",
        "rabbitmqctl list_queues name policy operator_policy effective_policy_definition",
    );
    findings.skip(
        "stray_queues",
        "AMQP lists no queues: lanes of accounts that are no longer configured may still hold events",
        format!("rabbitmqctl list_queues name messages | grep '{}'", names.lane("")),
    );
}

#[cfg(test)]
mod tests;
