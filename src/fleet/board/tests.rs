use std::time::Duration;

use super::*;
use crate::fleet::known_replicas::{MOST_KNOWN, MOST_OF_OTHER_USERS, SHOWN_GONE, TELL_INTERVAL};
use crate::fleet::merge::AccountInFleet;
use crate::fleet::message::Message;
use crate::fleet::samples::{at, lane, replica};
use crate::lane::LaneState;

fn own(lanes: Vec<LaneReport>) -> OwnReport {
    OwnReport { replica: replica("any"), lanes, queues: None }
}

/// A board of a replica that has these lanes.
fn board(name: &str, lanes: Vec<LaneReport>, now: Instant) -> FleetBoard {
    let board = FleetBoard::new(name, at(0));
    board.set_view(FleetView::Shared);
    board.configure(["acme", "globex", "initech"].map(|name| (name.to_owned(), at(-1))));
    board.survey(own(lanes), now, at(0));
    board
}

fn tell(from: &FleetBoard, to: &FleetBoard, turn: u64, now: Instant) {
    for body in from.tell(turn, false) {
        to.hear(&body, true, now, at(1));
    }
}

fn account<'a>(fleet: &'a Fleet, name: &str) -> &'a AccountInFleet {
    fleet.accounts.iter().find(|account| account.account == name).unwrap()
}

#[test]
fn replicas_see_each_other_s_lanes_and_one_that_falls_silent_is_gone_and_then_forgotten() {
    let now = Instant::now();
    let (one, two) = (board("one", vec![lane("acme")], now), board("two", vec![lane("globex")], now));
    tell(&two, &one, 0, now);
    tell(&one, &one, 0, now);
    let fleet = one.fleet(now, at(1));
    assert_eq!(
        fleet.replicas.iter().map(|one| (one.report.name.as_str(), one.own)).collect::<Vec<_>>(),
        [("one", true), ("two", false)]
    );
    let holders = ["acme", "globex", "initech"].map(|name| account(&fleet, name).replica.clone());
    assert_eq!(holders, [Some("one".to_owned()), Some("two".to_owned()), None]);
    let initech = account(&fleet, "initech");
    assert_eq!((initech.state(), initech.since), (LaneState::Standby, Some(at(-1))));
    assert_eq!(account(&fleet, "globex").since, Some(lane("globex").since));
    let later = |after| {
        let now = now + after;
        one.survey(own(vec![lane("acme")]), now, at(1));
        one.fleet(now, at(1))
    };
    assert!(later(TELL_INTERVAL * 3).replicas.iter().all(|replica| !replica.gone));
    let fleet = later(TELL_INTERVAL * 4);
    assert!(!fleet.replicas[0].gone && fleet.replicas[1].gone);
    let globex = account(&fleet, "globex");
    assert!(globex.replica.is_none() && globex.report.is_some(), "what it last told is still shown");
    let fleet = later(SHOWN_GONE + TELL_INTERVAL);
    assert_eq!(fleet.replicas.len(), 1);
    assert_eq!(account(&fleet, "globex").report, None);
}

#[test]
fn a_replica_that_restarts_or_leaves_is_not_shown_as_gone() {
    let now = Instant::now();
    let (one, two) = (board("one", Vec::new(), now), board("two", vec![lane("acme")], now));
    tell(&two, &one, 0, now);
    let again = FleetBoard::new("two", at(500));
    let later = now + TELL_INTERVAL * 5;
    again.survey(own(Vec::new()), later, at(500));
    one.survey(own(Vec::new()), later, at(500));
    tell(&again, &one, 0, later);
    let fleet = one.fleet(later, at(500));
    assert!(fleet.replicas.len() == 2 && fleet.replicas.iter().all(|replica| !replica.gone));
    for body in again.tell(1, true) {
        one.hear(&body, true, later, at(500));
    }
    assert_eq!(one.fleet(later, at(500)).replicas.iter().filter(|replica| !replica.gone).count(), 1);
}

#[test]
fn details_take_turns_where_there_are_many_lanes_and_stay_known() {
    let now = Instant::now();
    let lanes: Vec<LaneReport> = (0..500).map(|number| lane(&format!("account-{number}"))).collect();
    let (one, two) = (board("one", Vec::new(), now), board("two", lanes, now));
    let mut bytes = Vec::new();
    for turn in 0..DETAIL_TURNS {
        bytes.push(two.tell(turn, false).iter().map(Vec::len).sum::<usize>());
        tell(&two, &one, turn, now);
    }
    assert!(bytes.iter().all(|bytes| *bytes < 64 * 1024), "{bytes:?}");
    let fleet = one.fleet(now, at(1));
    assert_eq!(fleet.accounts.len(), 503);
    assert!(
        fleet.accounts.iter().filter_map(|one| one.report.as_ref()).all(|report| report.details.is_some())
    );
    // A lane of which a replica has nothing to tell any more is forgotten.
    two.survey(own(vec![lane("acme")]), now, at(0));
    tell(&two, &one, 0, now + TELL_INTERVAL * 3);
    tell(&two, &one, 1, now + TELL_INTERVAL * 4);
    let told = one.fleet(now, at(1)).accounts.iter().filter(|account| account.report.is_some()).count();
    assert_eq!(told, 1);
}

#[test]
fn the_last_count_of_queues_is_shown_while_the_replica_that_counted_is_there() {
    let now = Instant::now();
    let one = board("one", vec![lane("acme")], now);
    let counted = |name: &str, seconds, events| {
        let told = FleetBoard::new(name, at(0));
        let queues = QueuesTold {
            at: at(seconds),
            intake: Some(events),
            dead_letters: Some(0),
            lanes: [("acme".to_owned(), events)].into(),
        };
        let mut report = own(Vec::new());
        report.queues = Some(queues);
        told.survey(report, now, at(3));
        tell(&told, &one, 0, now);
    };
    counted("two", 3, 7);
    counted("three", 2, 8);
    let fleet = one.fleet(now, at(4));
    assert_eq!(fleet.queues.replica.as_deref(), Some("two"));
    assert_eq!((fleet.queues.intake_waiting, fleet.queues.dead_letters_waiting), (Some(7), Some(0)));
    assert_eq!(["acme", "globex"].map(|name| account(&fleet, name).waiting), [Some(7), None]);
    let fleet = one.fleet(now + TELL_INTERVAL * 4, at(20));
    assert_eq!(
        (fleet.queues, account(&fleet_of(&one, now), "acme").waiting),
        (QueueCounts::default(), Some(7))
    );
    assert_eq!(account(&fleet_of(&one, now + TELL_INTERVAL * 4), "acme").waiting, None);
}

fn fleet_of(board: &FleetBoard, now: Instant) -> Fleet {
    board.fleet(now, at(20))
}

#[test]
fn another_user_neither_takes_a_place_nor_a_name_nor_a_lane_of_ours() {
    let now = Instant::now();
    let (one, two) = (board("one", Vec::new(), now), board("two", vec![lane("acme")], now));
    let hear = |from: &FleetBoard, leaves| {
        for body in from.tell(0, leaves) {
            one.hear(&body, false, now, at(1));
        }
    };
    let forged = |name: &str| {
        let mut forged = lane("acme");
        (forged.last_received, forged.state) = (Some(at(1_000_000)), LaneState::Unauthorized);
        board(name, vec![forged, lane("globex")], now)
    };
    // Before anybody of ours tells of the name.
    hear(&forged("two"), false);
    tell(&two, &one, 0, now);
    hear(&forged("two"), false);
    hear(&two, true);
    for number in 0..1000 {
        let name = format!("other-{number}");
        hear(&forged(&name), false);
    }
    let fleet = one.fleet(now, at(1));
    assert_eq!(fleet.replicas.len(), 2 + MOST_OF_OTHER_USERS.replicas);
    let acme = account(&fleet, "acme");
    assert_eq!((acme.replica.as_deref(), acme.state()), (Some("two"), lane("acme").state));
    // What nobody of ours tells is shown.
    assert_eq!(account(&fleet, "globex").replica.as_deref(), Some("other-9"));
    tell(&board("three", Vec::new(), now), &one, 0, now);
    assert!(one.fleet(now, at(1)).replicas.iter().any(|replica| replica.report.name == "three"));
}

#[test]
fn what_others_tell_is_bounded() {
    let now = Instant::now();
    let one = board("one", Vec::new(), now);
    for number in 0..MOST_KNOWN.replicas + 100 {
        tell(&board(&format!("other-{number}"), Vec::new(), now), &one, 0, now);
    }
    assert_eq!(one.fleet(now, at(1)).replicas.len(), MOST_KNOWN.replicas);
    // A known replica tells of ever more lanes.
    let mut big = lane("acme");
    big.details.as_mut().unwrap().failures = vec![big.details.as_ref().unwrap().failures[0].clone(); 20];
    let size = serde_json::to_vec(&big).unwrap().len();
    let room = MOST_KNOWN.bytes / size;
    let now = now + Duration::from_secs(1);
    let mut known = one.lock();
    let message = |numbers: std::ops::Range<usize>| Message {
        replica: ReplicaReport { since: at(0), ..replica("other-1") },
        leaves: false,
        queues: None,
        lanes: numbers.map(|number| (lane(&format!("a{number}")), size)).collect(),
    };
    known.hear(message(0..room + 50), true, now, at(1));
    known.hear(message(0..room), true, now, at(1));
    let lanes: usize = known.replicas.values().map(|teller| teller.lanes.len()).sum();
    assert_eq!(lanes, room);
}
