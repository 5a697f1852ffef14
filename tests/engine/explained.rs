//! What `explain` says of any event is what a lane then does: the same end for the same reason, and no request that was not
//! foreseen.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use freshet::config::{self, SecretsNeeded};
use freshet::explain::{AccountExplainer, AccountFields, Ends, Explanation, ForeseenRequest};
use freshet::freshsales::{Client, Credentials, HttpTransport};
use freshet::outcome::{DeadLetterReason, Outcome};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::rig::{API_KEY, APP_TOKEN, Account, Rig, Setup};

/// A request as it was sent.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    method: String,
    path: String,
    body: Option<Value>,
}

/// Stands before the sandbox and writes down what it is asked.
struct Recorder {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
    _serving: JoinSet<()>,
}

impl Recorder {
    async fn before(sandbox: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let kept = sent.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass_on(client, sandbox, kept.clone()));
            }
        });
        Self { address, sent, _serving: serving }
    }
}

/// Passes requests on, one after another, until either side has enough.
async fn pass_on(client: TcpStream, sandbox: SocketAddr, sent: Arc<Mutex<Vec<Sent>>>) {
    let Ok(server) = TcpStream::connect(sandbox).await else { return };
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    while let Some((head, body)) = message(&mut client).await {
        let first = head.lines().next().unwrap_or_default().to_owned();
        let mut words = first.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body_sent = serde_json::from_slice(&body).ok();
        sent.lock().unwrap().push(Sent { method, path, body: body_sent });
        if server.write_all(head.as_bytes()).await.is_err() || server.write_all(&body).await.is_err() {
            return;
        }
        let Some((head, body)) = message(&mut server).await else { return };
        if client.write_all(head.as_bytes()).await.is_err() || client.write_all(&body).await.is_err() {
            return;
        }
    }
}

/// A head with its blank line, and a body of the length that it says.
async fn message(from: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

/// Whether a placeholder stands here, such as `<contact id>`.
fn is_placeholder(text: &str) -> bool {
    text.starts_with('<') && text.ends_with('>')
}

/// Lists that hold what the record had as well.
const ADDED_TO: [&str; 3] = ["sales_accounts", "emails", "tags"];

fn is_like(key: &str, foreseen: &Value, sent: &Value) -> bool {
    match (foreseen, sent) {
        (Value::String(text), _) if is_placeholder(text) => true,
        (Value::Object(foreseen), Value::Object(sent)) => {
            let like = |(key, value): (&String, &Value)| {
                key == "is_primary" || sent.get(key).is_some_and(|sent| is_like(key, value, sent))
            };
            // An update of a deal holds the custom fields that it had, too.
            let same_keys = key == "custom_field" || sent.keys().all(|key| foreseen.contains_key(key));
            foreseen.iter().all(like) && same_keys
        }
        (Value::Array(foreseen), Value::Array(sent)) if ADDED_TO.contains(&key) => {
            let own = |value: &&Value| {
                value.get("value").is_none_or(|value| !value.as_str().is_some_and(is_placeholder))
            };
            foreseen.iter().filter(own).all(|value| sent.iter().any(|sent| is_like("", value, sent)))
        }
        (Value::Array(foreseen), Value::Array(sent)) => {
            foreseen.len() == sent.len()
                && foreseen.iter().zip(sent).all(|(foreseen, sent)| is_like("", foreseen, sent))
        }
        _ => foreseen == sent,
    }
}

fn path_is_like(foreseen: &str, sent: &str) -> bool {
    match foreseen.split_once('<') {
        None => foreseen == sent,
        Some((before, rest)) => {
            let after = rest.split_once('>').map_or("", |(_, after)| after);
            let Some(rest) = sent.strip_prefix(before) else { return false };
            rest.strip_suffix(after)
                .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
        }
    }
}

fn foreseen(request: &ForeseenRequest, sent: &Sent) -> bool {
    let body = match (&request.body, &sent.body) {
        (Some(foreseen), Some(sent)) => is_like("", foreseen, sent),
        (None, None) => true,
        _ => false,
    };
    request.method == sent.method && path_is_like(&request.path, &sent.path) && body
}

/// An account whose lane each case begins anew, while its records stay from case to case.
struct Bench {
    account: Option<Account>,
    recorder: Recorder,
    transport: HttpTransport,
}

const SETTINGS: [&str; 6] = [
    "",
    "invalid_value = \"omit\"\nunknown_custom_field = \"ignore\"",
    "tags = \"append\"\nnull_traits = \"clear\"",
    "deal_identity = \"name\"\nlinks = \"careful\"\nanonymous_identify = \"by_email\"",
    "coercion = \"strict\"\nevents = [\"identify\", \"track\"]",
    "[accounts.fields]\n\"plan.name\" = \"cf_background\"\n\"gone\" = \"cf_gone\"\n[accounts.deal_defaults]\n\"amount\" = 7",
];

impl Bench {
    async fn new() -> Self {
        let account = Account::start(1_000_000).await;
        let recorder = Recorder::before(account.address).await;
        let transport = HttpTransport::new(std::time::Duration::from_secs(10)).unwrap();
        Self { account: Some(account), recorder, transport }
    }

    /// Explains the event as the command does, selectors included.
    async fn explain(&self, settings: &str, event: &Value) -> Explanation {
        let text = format!(
            "[[accounts]]\nname = \"acme\"\nurl = \"http://{}\"\napi_key = {{ env = \"K\" }}\napp_token = {{ env = \"T\" }}\n{settings}\n",
            self.account.as_ref().unwrap().address
        );
        let config = config::parse(&text, Path::new("bench.toml"), &|_| None, SecretsNeeded::None).unwrap();
        let client = Client::new(
            &self.transport,
            Credentials {
                base_url: config.accounts[0].access.url.as_str().to_owned(),
                api_key: API_KEY.to_owned().into(),
                app_token: Some(APP_TOKEN.to_owned().into()),
            },
        );
        let mut fields = AccountFields::from_api(&client, "acme").await.unwrap();
        let body = Bytes::from(event.to_string());
        let explained = |fields: &AccountFields| {
            AccountExplainer::new(&config.accounts[0], fields).explain(&body, tokio::time::Instant::now())
        };
        let explanation = explained(&fields);
        if explanation.needs.is_empty() {
            return explanation;
        }
        assert!(fields.read_selectors(&client, &explanation.needs).await.is_empty());
        explained(&fields)
    }

    /// What a lane does with the event, and what it sends for it.
    async fn deliver(&mut self, settings: &'static str, event: &Value) -> (Outcome, Vec<Sent>) {
        self.recorder.sent.lock().unwrap().clear();
        let url = Some(format!("http://{}", self.recorder.address));
        let setup = Setup { url, settings, ..Setup::default() };
        let mut rig = Rig::before(self.account.take().unwrap(), setup);
        let mut source = rig.session().await;
        source.send(event.to_string()).await;
        let outcome = source.settled().await.outcome;
        drop(source);
        rig.stopped().await;
        self.account = Some(rig.account);
        let mut sent = self.recorder.sent.lock().unwrap().clone();
        sent.retain(|sent| {
            !sent.path.starts_with("/api/settings/") && !sent.path.starts_with("/api/selector/")
        });
        for sent in &mut sent {
            if let Some(Value::Object(body)) = &mut sent.body {
                body.remove("application_token");
            }
        }
        (outcome, sent)
    }
}

/// Begins the problem that names required fields.
const LACKS: &str = "the event does not give fields that a new record needs: ";

fn check(explanation: &Explanation, outcome: &Outcome, sent: &[Sent]) -> Result<(), String> {
    match (outcome, explanation.ends) {
        (Outcome::Delivered, Ends::Deliver) => {}
        (Outcome::Skipped(reason), Ends::Skip(explained)) if *reason == explained => {}
        (Outcome::DeadLetter(refusal), Ends::DeadLetter(explained)) if refusal.reason == explained => {
            if refusal.problems != explanation.problems {
                return Err(format!("problems are {:?}", refusal.problems));
            }
        }
        // Only Freshsales knows; what a new record would lack is told.
        (Outcome::DeadLetter(refusal), Ends::Deliver)
            if explanation.foreseen.refusals.contains(&refusal.reason)
                && matches!(refusal.reason, DeadLetterReason::Rejected | DeadLetterReason::MissingEmail) =>
        {
            let mut risks = explanation.risks.iter().filter(|risk| risk.reason == refusal.reason);
            let told: Vec<&String> = explanation.risks.iter().flat_map(|risk| &risk.fields).collect();
            let filled: Vec<&String> = explanation.filled.iter().map(|filled| &filled.field).collect();
            let lacking = refusal.problems.iter().filter_map(|problem| problem.problem.strip_prefix(LACKS));
            let untold = lacking
                .flat_map(|names| names.split(", "))
                .find(|name| !told.iter().chain(&filled).any(|told| told == name));
            if let Some(name) = untold {
                return Err(format!("nobody was told that {name} is required"));
            }
            if refusal.reason == DeadLetterReason::MissingEmail && risks.next().is_none() {
                return Err("nobody was told that the userId may be unknown".to_owned());
            }
        }
        (outcome, ends) => return Err(format!("explained as {ends:?}, and became {outcome:?}")),
    }
    if sent.len() > explanation.foreseen.most as usize {
        return Err(format!("{} calls, at most {} were foreseen", sent.len(), explanation.foreseen.most));
    }
    let mut last = 0;
    for sent in sent {
        // A request may be foreseen at several places: the first one that keeps the order is meant.
        let requests = explanation.foreseen.requests.iter().enumerate();
        let mut places = requests.filter(|(_, request)| foreseen(request, sent)).map(|(place, _)| place);
        let Some(first) = places.next() else { return Err(format!("not foreseen: {sent:?}")) };
        let place = if first >= last { Some(first) } else { places.find(|place| *place >= last) };
        let Some(place) = place else { return Err(format!("foreseen in another order: {sent:?}")) };
        // What follows a refusal may begin again.
        if explanation.foreseen.requests[place].after_refusal {
            return Ok(());
        }
        last = place;
    }
    Ok(())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!("")),
        Just(json!([])),
        Just(json!(42)),
        Just(json!("42")),
        Just(json!(3.5)),
        Just(json!("2026-02-03")),
        Just(json!("Web")),
        Just(json!("Gold")),
        Just(json!(["a", "b"])),
        Just(json!("one;two")),
        Just(json!({"name": "gold", "id": 3})),
        Just(json!("x".repeat(300))),
        "[a-z ]{1,12}".prop_map(Value::from),
    ]
}

fn traits(keys: &'static [&'static str], most: usize) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((prop::sample::select(keys), value()), 0..most)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

const TRAITS: &[&str] = &[
    "firstName",
    "last_name",
    "name",
    "title",
    "phone",
    "city",
    "plan",
    "gone",
    "tags",
    "owner",
    "leadSource",
    "lifecycleStage",
    "contactStatus",
    "cfSeats",
    "cfPlan",
    "cfInterests",
    "cfNewsletter",
    "cfTrialEndsOn",
    "cfBackground",
    "cfNope",
    "createdAt",
    "firstNam",
    "externalId",
    "emails",
    "address",
];
const COMPANY: &[&str] = &["industry", "employees", "cfTier", "tags", "website", "cfNope", "id"];
const DEAL: &[&str] = &["amount", "cfDiscount", "dealStage", "dealPipeline", "tags", "closedDate"];

fn user_id() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(json!("u-1")),
        2 => Just(json!("u-2")),
        1 => Just(json!(7)),
        2 => Just(json!("ada@example.com")),
        1 => Just(json!("undefined")),
        1 => Just(json!(null)),
    ]
}

fn email() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        4 => Just(Some(json!("ada@example.com"))),
        3 => Just(Some(json!(" Bob@Example.com"))),
        3 => Just(None),
        1 => Just(Some(json!("no address"))),
    ]
}

fn related(keys: &'static [&'static str]) -> impl Strategy<Value = Option<Value>> {
    let with_name =
        (prop::option::weighted(0.9, prop::sample::select(&["Acme", "Globex"][..])), traits(keys, 3));
    let object = with_name.prop_map(|(name, mut traits)| {
        if let Some(name) = name {
            traits.insert("name".to_owned(), name.into());
        }
        Some(Value::Object(traits))
    });
    prop_oneof![3 => Just(None), 3 => object, 1 => value().prop_map(Some)]
}

fn event() -> impl Strategy<Value = Value> {
    let identify = (user_id(), email(), traits(TRAITS, 4), related(COMPANY), related(DEAL), any::<bool>());
    let identify = identify.prop_map(|(user_id, email, mut traits, company, deal, in_context)| {
        for (key, value) in [("email", email), ("company", company), ("deal", deal)] {
            traits.extend(value.map(|value| (key.to_owned(), value)));
        }
        let traits = Value::Object(traits);
        if in_context {
            json!({"type": "identify", "userId": user_id, "context": {"traits": traits}})
        } else {
            json!({"type": "identify", "userId": user_id, "traits": traits})
        }
    });
    let track = (user_id(), traits(&["name", "property_name", "revenue"], 3), email(), any::<bool>());
    let track = track.prop_map(|(user_id, properties, email, named)| {
        let name = if named { json!("Ordered") } else { json!("") };
        let context = json!({"traits": {"email": email}});
        json!({"type": "track", "userId": user_id, "event": name, "properties": properties, "context": context})
    });
    let page = (user_id(), traits(&["url", "name", "title"], 3));
    let page = page.prop_map(|(user_id, properties)| {
        let context = json!({"page": {"url": "https://example.com"}});
        json!({"type": "page", "userId": user_id, "name": "Home", "properties": properties, "context": context})
    });
    let other = prop_oneof![
        Just(json!({"type": "screen"})),
        Just(json!({"type": "identify", "userId": "u-1", "integrations": {"All": false}})),
        Just(json!({"userId": "u-1"})),
        Just(json!([])),
    ];
    prop_oneof![6 => identify, 2 => track, 1 => page, 1 => other]
}

#[test]
fn what_is_explained_is_what_a_lane_then_does_for_any_event() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bench = Mutex::new(runtime.block_on(Bench::new()));
    let mut runner = TestRunner::new(Config { cases: 150, max_shrink_iters: 60, ..Config::default() });
    let cases = (event(), prop::sample::select(&SETTINGS[..]));
    let ran = runner.run(&cases, |(event, settings)| {
        let mut bench = bench.lock().unwrap();
        runtime.block_on(async {
            let explanation = bench.explain(settings, &event).await;
            let (outcome, sent) = bench.deliver(settings, &event).await;
            check(&explanation, &outcome, &sent).map_err(|why| {
                let requests: Vec<String> = explanation
                    .foreseen
                    .requests
                    .iter()
                    .map(|request| format!("{} {} {:?}", request.method, request.path, request.body))
                    .collect();
                let sent: Vec<String> =
                    sent.iter().map(|sent| format!("{} {}", sent.method, sent.path)).collect();
                TestCaseError::fail(format!(
                    "{why}\nforeseen:\n{}\nsent:\n{}",
                    requests.join("\n"),
                    sent.join("\n")
                ))
            })
        })
    });
    ran.unwrap_or_else(|why| panic!("{why}"));
}
