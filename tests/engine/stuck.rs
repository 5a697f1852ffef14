//! When a lane counts as stuck, and that one which waits on purpose does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freshet::fleet::{Survey, SurveySources};
use freshet::lane::{self, BackoffSettings, LaneRoster, LaneState};
use freshet::status::{self, AdminAccess, AliveSignal, StatusSources};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig::{Account, Rig, Setup, called, identify, track};
use crate::support::{Proxy, soon};

/// How often somebody was told that all is alive.
static TOLD: AtomicU64 = AtomicU64::new(0);

/// With it a lane is stuck whenever it rests and nothing stands in its way.
const NO_PATIENCE: Duration = Duration::ZERO;

fn for_hours() -> Setup {
    let long = (Duration::from_hours(1), Duration::from_hours(1));
    let patience = BackoffSettings {
        unavailable: long,
        throttled: long,
        unauthorized: long,
        ..BackoffSettings::default()
    };
    Setup {
        request_timeout: Duration::from_hours(1),
        grace: Duration::from_millis(50),
        patience,
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_lane_whose_call_is_never_answered_is_stuck() {
    for endpoint in ["contacts_fields", "contacts_upsert"] {
        let mut rig = Rig::with(for_hours()).await;
        rig.faults(json!({"endpoint": endpoint, "action": {"hang": true}})).await;
        let mut source = rig.session().await;
        source.send(identify("a", "ada@example.com", json!({}))).await;
        called(&rig, endpoint, 1).await;
        let after = Duration::from_millis(200);
        soon("it is stuck", async || rig.board.stuck(after).is_some()).await;
        assert_eq!(rig.board.stuck(after).unwrap().events, 1);
        soon("beyond hope", async || rig.board.stuck(after).unwrap().needs_restart).await;
        // The stop gives the event back: there is nothing to be stuck with.
        rig.stopped().await;
        assert_eq!(rig.board.stuck(NO_PATIENCE), None);
    }
}

#[tokio::test]
async fn a_lane_that_waits_on_purpose_is_not_stuck() {
    let patient = |action: Value| json!({"endpoint": "contacts_upsert", "action": action});
    let faults = [
        patient(json!({"status": 429, "headers": {"retry-after": "3600"}})),
        patient(json!({"status": 429})),
        patient(json!({"status": 401})),
        patient(json!({"status": 503})),
        patient(json!({"reset": true})),
        json!({"endpoint": "contacts_fields", "action": {"status": 404}}),
        json!({"endpoint": "contacts_fields", "action": {"status": 503}}),
    ];
    for fault in faults {
        let mut rig = Rig::with(for_hours()).await;
        rig.faults(fault.clone()).await;
        let mut source = rig.session().await;
        source.send(identify("a", "ada@example.com", json!({}))).await;
        called(&rig, fault["endpoint"].as_str().unwrap(), 1).await;
        // It holds its event to the end, so nothing else can make it look well.
        soon(&fault.to_string(), async || rig.board.stuck(NO_PATIENCE).is_none()).await;
        rig.stopped().await;
        assert_eq!(source.outcomes().await, [freshet::outcome::Outcome::Returned], "{fault}");
    }
}

#[tokio::test]
async fn a_lane_out_of_quota_is_not_stuck() {
    // The account itself has plenty, so that no answer tells of trouble: it is the lane's own share that is spent.
    let account = Account::start(1_000_000).await;
    let mut rig = Rig::before(account, Setup { requests_per_hour: 8, ..for_hours() });
    let mut source = rig.session().await;
    for number in 0..9 {
        source.send(identify(&format!("m{number}"), "ada@example.com", json!({}))).await;
    }
    // Reading the fields took what may go at once.
    soon("all are taken", async || rig.sum("freshet_events_in_flight", &[]) == 9.0).await;
    soon("it waits", async || rig.board.stuck(NO_PATIENCE).is_none()).await;
    assert!(source.try_settled().is_none(), "it has work");
    rig.stopped().await;
}

#[tokio::test]
async fn a_lane_that_takes_over_is_not_stuck_before_it_may_send() {
    let mut rig = Rig::with(for_hours()).await;
    rig.faults(json!({"endpoint": "track_events", "action": {"hang": true}})).await;
    let mut source = rig.session().await;
    source.send_again(track("m", "ada@example.com", "Came")).await;
    soon("it waits", async || {
        rig.sum("freshet_events_in_flight", &[]) > 0.0 && rig.board.stuck(NO_PATIENCE).is_none()
    })
    .await;
    called(&rig, "track_events", 1).await;
    soon("it is stuck", async || rig.board.stuck(NO_PATIENCE).is_some()).await;
    rig.stopped().await;
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

/// Through the library: the configuration allows no lane to count as stuck while it only waits for an answer.
#[tokio::test]
async fn a_stuck_lane_is_reported_and_ends_livez_and_lanes_that_wait_for_a_known_reason_do_not() {
    const AFTER: Duration = Duration::from_secs(2);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _logging = tracing::subscriber::set_default(subscriber);

    let mut others = Vec::new();
    for (action, state) in [
        (json!({"status": 429, "headers": {"retry-after": "3600"}}), LaneState::Throttled),
        (json!({"status": 401}), LaneState::Unauthorized),
        (json!({"status": 503}), LaneState::Retrying),
    ] {
        let rig = Rig::with(for_hours()).await;
        rig.faults(json!({"endpoint": "contacts_upsert", "action": action})).await;
        let mut source = rig.session().await;
        source.send(identify("a", "ada@example.com", json!({}))).await;
        soon("the state", async || rig.board.view().state == state).await;
        others.push((rig, source));
    }

    // The one account that says nothing at all, after those that do have waited for as long.
    let account = Account::start(1_000_000).await;
    let proxy = Proxy::to(&account.address.to_string()).await;
    let url = Some(format!("http://{}", proxy.addr()));
    let rig = Rig::before(account, Setup { url, patience: Setup::default().patience, ..for_hours() });
    let lanes = LaneRoster::default();
    let all =
        [&rig].into_iter().chain(others.iter().map(|(rig, _)| rig)).map(|rig| rig.board.clone()).collect();
    lanes.show(all, Vec::new());
    let mut watching = JoinSet::new();
    watching.spawn(lane::watch(lanes.clone(), AFTER));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // All rigs' accounts have one name, which pages take for one account.
    let lanes = LaneRoster::default();
    lanes.show(vec![rig.board.clone()], Vec::new());
    let survey = SurveySources {
        metrics: rig.metrics.clone(),
        lanes: lanes.clone(),
        stuck_after: AFTER,
        broker: None,
        build: ("0", "unknown"),
    };
    let sources = StatusSources {
        fleet: Arc::new(Survey::new("one", jiff::Timestamp::now(), survey)),
        metrics: rig.metrics.clone(),
        lanes,
        stuck_after: AFTER,
        broker: None,
        letters: None,
        admin: AdminAccess::nobody(),
        alive_signal: Some(AliveSignal {
            every: Duration::from_millis(20),
            tell: || {
                TOLD.fetch_add(1, Ordering::Relaxed);
            },
        }),
    };
    let _pages = status::serve(listener, sources, &CancellationToken::new()).unwrap();
    let get = async |page: &str| {
        let answer = reqwest::get(format!("http://{address}{page}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    rig.faults(json!({"endpoint": "contacts_upsert", "action": {"hang": true}, "next": 1})).await;
    let mut source = rig.session().await;
    source.send(identify("a", "ada@example.com", json!({}))).await;

    soon("somebody is told that all is alive", async || TOLD.load(Ordering::Relaxed) > 3).await;
    soon("/livez answers 503", async || get("/livez").await.0 == 503).await;
    // One that was decided before may still come.
    let told = TOLD.load(Ordering::Relaxed) + 1;
    let why = get("/livez").await.1;
    assert!(
        why.starts_with("not alive: acme is stuck with 1 events for ") && why.lines().count() == 1,
        "{why}"
    );
    let seconds: u64 = why.split(' ').find_map(|word| word.parse().ok().filter(|n| *n > 1)).unwrap();
    assert!(seconds >= 4, "before twice delivery.stuck_after: {why}");
    let lines = log.lines("the lane is stuck");
    assert!(
        lines.len() == 1 && lines[0].contains("acme") && lines[0].contains("nothing is settled"),
        "{lines:?}"
    );
    assert_eq!(rig.sum("freshet_lane_stuck", &["account=\"acme\""]), 1.0);
    let elsewhere: f64 = others.iter().map(|(rig, _)| rig.sum("freshet_lane_stuck", &[])).sum();
    assert_eq!(elsewhere, 0.0, "another lane is stuck, too");
    let status: Value = serde_json::from_str(&get("/api/status").await.1).unwrap();
    assert_eq!(status["accounts"][0]["stuck"]["events"], 1, "{status}");
    assert!(get("/").await.1.contains("The lane is stuck"));

    for _ in 0..20 {
        assert_eq!(get("/livez").await.0, 503);
    }
    assert!(TOLD.load(Ordering::Relaxed) <= told, "told that it is alive while it is not");

    // The call breaks, is sent again, and is answered.
    proxy.cut();
    soon("it is no longer stuck", async || !log.lines("the lane is no longer stuck").is_empty()).await;
    soon("the metric", async || rig.sum("freshet_lane_stuck", &[]) == 0.0).await;
    assert_eq!(get("/livez").await.0, 200);
    soon("and is told again", async || TOLD.load(Ordering::Relaxed) > told).await;
    // While it waits to be sent again it is not stuck either.
    assert_eq!(source.settled().await.outcome, freshet::outcome::Outcome::Delivered);
    rig.finish(source).await;
    for (mut rig, _source) in others {
        rig.stopped().await;
    }
}
