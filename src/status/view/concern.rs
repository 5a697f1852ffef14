//! What wants a person: each with its reason, since when, and what to do. The gravest first, and no more than fit a page.

use jiff::{SignedDuration, Timestamp};

use super::reasons::meaning;
use super::snapshot::Snapshot;
use crate::fleet::{AccountInFleet, FleetView, LaneReport};
use crate::lane::LaneState;
use crate::words::{counted, grouped};

/// A lane that retries for a shorter time most likely helps itself.
const RETRYING_FOR: SignedDuration = SignedDuration::from_mins(5);
/// The same of one that waits for the account's fields.
const WITHOUT_FIELDS_FOR: SignedDuration = SignedDuration::from_mins(2);
/// Events that wait for longer in a lane that is throttled want a larger quota.
const THROTTLED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Something that does not mend itself.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::status) struct Concern {
    /// Less is graver.
    gravity: u8,
    pub(in crate::status) account: Option<String>,
    pub(in crate::status) what: String,
    /// In the words of whoever noticed it.
    pub(in crate::status) why: String,
    pub(in crate::status) since: Option<Timestamp>,
    pub(in crate::status) remedy: &'static str,
    /// The section of the runbook.
    pub(in crate::status) runbook: Option<&'static str>,
}

/// All of them, the gravest first.
pub(in crate::status) fn concerns(snapshot: &Snapshot) -> Vec<Concern> {
    let mut all = Vec::new();
    broker(snapshot, &mut all);
    replicas(snapshot, &mut all);
    for account in &snapshot.fleet.accounts {
        lane(account, snapshot, &mut all);
    }
    // A stable sort: accounts stay in the order of their names.
    all.sort_by_key(|concern| concern.gravity);
    all
}

fn broker(snapshot: &Snapshot, all: &mut Vec<Concern>) {
    let Some(broker) = &snapshot.broker else { return };
    let trouble = |what: &str, remedy, runbook| Concern {
        gravity: 0,
        account: None,
        what: what.to_owned(),
        why: broker.why.clone(),
        since: Some(broker.since),
        remedy,
        runbook: Some(runbook),
    };
    if !broker.connected {
        all.push(trouble(
            "Not connected to RabbitMQ",
            "Nothing is lost. See whether RabbitMQ runs and can be reached from here.",
            "FreshetBrokerDisconnected",
        ));
    } else if !broker.why.is_empty() {
        let since = Concern {
            since: None,
            ..trouble(
                "RabbitMQ takes no messages",
                "Nothing is lost. Look for alarms and full queues on RabbitMQ.",
                "FreshetBrokerStalled",
            )
        };
        all.push(since);
    }
    if broker.name_taken {
        all.push(Concern {
            gravity: 3,
            why: format!("another connection goes by the name {}", snapshot.replica),
            since: None,
            ..trouble(
                "Two replicas have one name",
                "Give each replica a broker.replica of its own.",
                "FreshetReplicaNameTaken",
            )
        });
    }
}

fn replicas(snapshot: &Snapshot, all: &mut Vec<Concern>) {
    let fleet = &snapshot.fleet;
    let concern = |gravity, what: String, why: String, since, remedy, runbook| Concern {
        gravity,
        account: None,
        what,
        why,
        since,
        remedy,
        runbook,
    };
    if let FleetView::OwnOnly(why) = &fleet.view {
        all.push(concern(
            4,
            "Only this replica's lanes are shown".to_owned(),
            why.clone(),
            None,
            "Deliveries are not concerned. Let Freshet's user declare, write and read the exchange ….status.",
            None,
        ));
    }
    for gone in fleet.replicas.iter().filter(|replica| replica.gone) {
        all.push(concern(
            2,
            format!("Replica {} is silent", gone.report.name),
            "it was stopped, killed, or cut off from RabbitMQ; the others have taken over its lanes"
                .to_owned(),
            Some(gone.told_at),
            "Was it stopped on purpose? Else see its log.",
            Some("FreshetDown"),
        ));
    }
    let here = || fleet.replicas.iter().filter(|replica| !replica.gone);
    let routed = here().any(|replica| replica.report.routes);
    if let Some(waiting) = fleet.queues.intake_waiting.filter(|waiting| *waiting > 0 && !routed) {
        all.push(concern(
            1,
            "Nobody moves events from the intake to the lanes".to_owned(),
            format!("{} there", counted(waiting, "message waits", "messages wait")),
            None,
            "See whether a replica is connected, and whether another program consumes the intake.",
            Some("FreshetBrokerStalled"),
        ));
    }
    let differ = |of: fn(&crate::fleet::ReplicaReport) -> &str| {
        let mut values: Vec<&str> =
            here().map(|replica| of(&replica.report)).filter(|one| !one.is_empty()).collect();
        values.sort_unstable();
        values.dedup();
        values.len() > 1
    };
    if differ(|report| &report.version) || differ(|report| &report.revision) {
        all.push(concern(
            6,
            "Replicas run different versions".to_owned(),
            "the table of replicas names them".to_owned(),
            None,
            "During a roll-out this is right. Else finish it.",
            None,
        ));
    }
    if differ(|report| &report.config.hash) {
        all.push(concern(
            5,
            "Replicas run with different configurations".to_owned(),
            "the table of replicas names them".to_owned(),
            None,
            "Give all replicas the same file, and let each read it (SIGHUP) or restart.",
            None,
        ));
    }
}

fn lane(account: &AccountInFleet, snapshot: &Snapshot, all: &mut Vec<Concern>) {
    let concern = |gravity, what: String, why: String, since, remedy, runbook| Concern {
        gravity,
        account: Some(account.account.clone()),
        what,
        why,
        since,
        remedy,
        runbook,
    };
    let waiting = account.waiting.unwrap_or_default();
    if account.replica.is_none() && waiting > 0 {
        let last = account.report.as_ref().and_then(|report| report.last_received);
        let (what, remedy) = if account.configured {
            (
                "Nobody works the lane",
                "If this lasts for a minute, see whether the lane's queue has a consumer.",
            )
        } else {
            (
                "Events wait for an account that is not configured",
                "Configure the account again, or move its events.",
            )
        };
        let why = format!("{} in the lane", counted(waiting, "event waits", "events wait"));
        all.push(concern(2, what.to_owned(), why, last, remedy, Some("FreshetLaneUnworked")));
    }
    let Some(report) = &account.report else { return };
    if let Some(stuck) = &report.stuck {
        let why = format!("{}; it holds {}", stuck.why, counted(stuck.events, "event", "events"));
        let since = SignedDuration::from_secs(i64::try_from(stuck.seconds).unwrap_or(i64::MAX));
        all.push(concern(
            1,
            "The lane is stuck".to_owned(),
            why,
            snapshot.at.saturating_sub(since).ok(),
            "Restart the replica that holds it; its events are delivered again.",
            Some("FreshetLaneStuck"),
        ));
    }
    let lasts = |least| snapshot.at.duration_since(report.since) >= least;
    let state = match report.state {
        LaneState::Unauthorized => Some((
            1,
            "Freshsales refuses the credentials",
            "Replace the secret that is named: a valid API key that may write contacts, sales accounts and deals, or the account's app token.",
            "FreshetLaneUnauthorized",
        )),
        LaneState::Retrying if lasts(RETRYING_FOR) => Some((
            3,
            "Freshsales cannot be reached, or answers nonsense",
            "See whether the account opens in a browser, and the address in its url.",
            "FreshetLaneRetrying",
        )),
        LaneState::WaitingForSchema if lasts(WITHOUT_FIELDS_FOR) => Some((
            3,
            "The account's fields cannot be read",
            "See the account's url, and whether the key's user may see the fields.",
            "FreshetLaneRetrying",
        )),
        LaneState::Throttled if oldest(report, snapshot) >= THROTTLED_FOR => Some((
            5,
            "The quota is too small for what comes",
            "Raise quota_share, see which other programs use the quota, or take a larger plan.",
            "FreshetQuotaShort",
        )),
        LaneState::Retrying
        | LaneState::WaitingForSchema
        | LaneState::Throttled
        | LaneState::Flowing
        | LaneState::Standby => None,
    };
    if let Some((gravity, what, remedy, runbook)) = state {
        all.push(concern(
            gravity,
            what.to_owned(),
            report.why.clone(),
            Some(report.since),
            remedy,
            Some(runbook),
        ));
    }
    dead_letters(account, report, all);
}

fn oldest(report: &LaneReport, snapshot: &Snapshot) -> SignedDuration {
    report.oldest.map_or(SignedDuration::ZERO, |oldest| snapshot.at.duration_since(oldest))
}

/// Events that failed in the last hour.
fn dead_letters(account: &AccountInFleet, report: &LaneReport, all: &mut Vec<Concern>) {
    let failed = report.hour.dead_lettered_in_all();
    let Some((reason, most)) = report.hour.top_dead_letter() else { return };
    let before = report.hour_before.dead_lettered.get(reason).copied().unwrap_or_default();
    let news = if before == 0 { "; new in this hour" } else { "" };
    let last = report.details.as_ref().and_then(|details| Some(details.failures.first()?.at));
    all.push(Concern {
        gravity: 4,
        account: Some(account.account.clone()),
        what: format!("{} in the last hour", counted(failed, "new dead letter", "new dead letters")),
        why: format!("{} of them {reason}: {}{news}", grouped(most), meaning(reason)),
        since: last,
        remedy: "Look at the groups, mend the field or the sender, and send them back.",
        runbook: Some("FreshetDeadLettersRising"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::samples::{at, replica};
    use crate::fleet::{ReplicaInFleet, StuckReport};
    use crate::status::view::snapshot::tests::{flowing, snapshot};

    fn told(snapshot: &Snapshot) -> Vec<String> {
        concerns(snapshot)
            .iter()
            .map(|one| format!("{}: {} ({})", one.account.as_deref().unwrap_or("-"), one.what, one.why))
            .collect()
    }

    fn quiet(name: &str) -> AccountInFleet {
        let mut account = flowing(name);
        account.report.as_mut().unwrap().hour.dead_lettered.clear();
        account
    }

    #[test]
    fn a_fleet_that_is_well_wants_nobody() {
        assert_eq!(told(&snapshot(vec![quiet("acme")])), Vec::<String>::new());
        assert_eq!(told(&snapshot(Vec::new())), Vec::<String>::new());
    }

    #[test]
    fn what_wants_a_person_is_told_with_the_gravest_first() {
        let with = |name: &str, edit: fn(&mut LaneReport)| {
            let mut account = quiet(name);
            edit(account.report.as_mut().unwrap());
            account
        };
        let mut unworked = quiet("unworked");
        (unworked.replica, unworked.waiting) = (None, Some(1234));
        let mut shown = snapshot(vec![
            flowing("letters"),
            with("dip", |report| (report.state, report.since) = (LaneState::Retrying, at(3590))),
            with("down", |report| {
                (report.state, report.since, report.why) =
                    (LaneState::Retrying, at(60), "HTTP 503".to_owned());
            }),
            with("refused", |report| report.state = LaneState::Unauthorized),
            with("slow", |report| (report.state, report.oldest) = (LaneState::Throttled, Some(at(0)))),
            with("stuck", |report| {
                report.stuck =
                    Some(StuckReport { seconds: 900, events: 1, why: "nothing is settled".to_owned() });
            }),
            unworked,
        ]);
        let mut other = replica("worker-1");
        other.config.hash = "ffff".to_owned();
        let other = |gone| ReplicaInFleet { report: other.clone(), told_at: at(3000), own: false, gone };
        shown.fleet.replicas.push(other(true));
        insta::assert_snapshot!(told(&shown).join("\n"), @r"
        refused: Freshsales refuses the credentials ()
        stuck: The lane is stuck (nothing is settled; it holds 1 event)
        -: Replica worker-1 is silent (it was stopped, killed, or cut off from RabbitMQ; the others have taken over its lanes)
        unworked: Nobody works the lane (1,234 events wait in the lane)
        down: Freshsales cannot be reached, or answers nonsense (HTTP 503)
        letters: 1 new dead letter in the last hour (1 of them missing_email: no e-mail address, and no contact known by the userId; new in this hour)
        slow: The quota is too small for what comes ()
        ");
        shown.fleet.accounts.clear();
        shown.fleet.replicas = vec![other(false), shown.fleet.replicas.swap_remove(0)];
        shown.fleet.replicas[1].report.routes = false;
        shown.fleet.queues.intake_waiting = Some(3);
        shown.fleet.view = FleetView::OwnOnly("the exchange is refused".to_owned());
        let broker = shown.broker.as_mut().unwrap();
        (broker.connected, broker.name_taken, broker.why) = (false, true, "nobody answers".to_owned());
        insta::assert_snapshot!(told(&shown).join("\n"), @r"
        -: Not connected to RabbitMQ (nobody answers)
        -: Nobody moves events from the intake to the lanes (3 messages wait there)
        -: Two replicas have one name (another connection goes by the name worker-0)
        -: Only this replica's lanes are shown (the exchange is refused)
        -: Replicas run with different configurations (the table of replicas names them)
        ");
    }

    #[test]
    fn the_runbook_has_every_section_that_is_named() {
        let runbook = include_str!("../../../docs/RUNBOOK.md");
        let source = include_str!("concern.rs");
        let named: Vec<&str> = source
            .split('"')
            .filter(|text| {
                text.starts_with("Freshet") && text.len() > 7 && text.chars().all(char::is_alphanumeric)
            })
            .collect();
        assert!(named.len() > 8);
        for section in named {
            assert!(runbook.contains(&format!("\n## {section}\n")), "{section}");
        }
    }
}
