//! `explain` and `fields`, run as users run them.

use std::path::Path;

use freshet::sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::freshet;

const KEY: &str = "key-that-nobody-sees";
const TOKEN: &str = "token-that-nobody-sees";

/// The repository's file or folder of this name.
fn in_repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Exit status, standard output and standard error.
async fn run(
    folder: &Path,
    arguments: &[&str],
    keys: &[(&str, &str)],
    input: &[u8],
) -> (i32, String, String) {
    let folder = folder.to_owned();
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let keys: Vec<(String, String)> =
        keys.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let input = input.to_vec();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let keys: Vec<(&str, &str)> =
            keys.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        freshet(&arguments, &folder, &keys, &input)
    });
    let output = running.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_tracking_plan_is_explained_without_network_and_keys() {
    let plan = in_repository("examples/tracking-plan");
    let (status, text, errors) =
        run(&plan, &["explain", "plan.ndjson", "--fields", "fields"], &[], b"").await;
    assert_eq!((status, errors.as_str()), (0, ""));
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn events_that_would_be_dead_letters_are_shown_with_what_to_do_and_fail_the_command() {
    let plan = in_repository("examples/tracking-plan");
    let events = [
        json!({"type": "identify", "userId": "u", "traits": {"email": "ada@example.com", "cfSeat": 4, "cfPlan": "Silver"}}),
        json!({"type": "identify", "userId": "u", "traits": {"email": "ada@example.com"}, "integrations": {"All": false}}),
        json!([{"type": "group"}, {"type": "track", "userId": "u"}]),
    ];
    let mut input: Vec<u8> = events.iter().flat_map(|event| format!("{event}\n").into_bytes()).collect();
    input.extend_from_slice(b"{\"type\":\n");
    let (status, text, errors) = run(&plan, &["explain", "-", "--fields", "fields"], &[], &input).await;
    assert_eq!((status, errors.as_str()), (1, ""));
    let made = regex_free(&text);
    insta::assert_snapshot!(made);
    let only_bad = ["explain", "-", "--fields", "fields", "--only-bad", "--json"];
    let (status, text, _) = run(&plan, &only_bad, &[], &input).await;
    assert_eq!(status, 1);
    let lines = lines(&text);
    let reasons: Vec<&Value> = lines.iter().map(|line| &line["reason"]).collect();
    assert_eq!(
        reasons,
        ["unknown_custom_field", "invalid_event", "malformed_json", "null"]
            .map(|word| { if word == "null" { Value::Null } else { json!(word) } })
            .iter()
            .collect::<Vec<_>>()
    );
    let by_reason = json!({"integration_disabled": 1, "invalid_event": 1, "malformed_json": 1, "unknown_custom_field": 1, "unsupported_type": 1});
    let summary =
        json!({"events": 5, "deliver": 0, "skip": 2, "dead_letter": 3, "by_reason": by_reason, "at_risk": 0});
    assert_eq!(lines.last().unwrap(), &json!({ "summary": summary }));
}

#[tokio::test]
async fn an_event_that_is_delivered_only_if_a_record_exists_is_told_and_fails_where_warnings_are_denied() {
    let plan = in_repository("examples/tracking-plan");
    let events = [
        json!({"type": "identify", "userId": "u", "traits": {"email": "ada@example.com", "deal": {"name": "Renewal"}}}),
        json!({"type": "identify", "userId": "u", "traits": {"firstName": "Ada"}}),
        json!({"type": "track", "userId": "ada@example.com", "event": "Ordered"}),
    ];
    let input: Vec<u8> = events.iter().flat_map(|event| format!("{event}\n").into_bytes()).collect();
    let explain = ["explain", "-", "--fields", "fields"];
    let (status, text, errors) = run(&plan, &explain, &[], &input).await;
    assert_eq!((status, errors.as_str()), (0, ""));
    insta::assert_snapshot!(text);

    let denied = [&explain[..], &["--only-bad", "--json", "--deny-warnings"]].concat();
    let (status, text, errors) = run(&plan, &denied, &[], &input).await;
    assert_eq!((status, errors.as_str()), (1, ""));
    let lines = lines(&text);
    let risks: Vec<&Value> = lines.iter().map(|line| &line["risks"]).collect();
    let amount = json!([{"reason": "rejected", "if": "the deal has to be created", "fields": ["amount"], "traits": ["deal.amount"]}]);
    let nobody = json!([{"reason": "missing_email", "if": "no contact has this userId", "fields": [], "traits": ["email"]}]);
    assert_eq!(risks, [&amount, &nobody, &Value::Null]);
    let summary =
        json!({"events": 3, "deliver": 3, "skip": 0, "dead_letter": 0, "by_reason": {}, "at_risk": 2});
    assert_eq!(lines.last().unwrap(), &json!({ "summary": summary }));
}

/// Without the ids that are made of a batch's content.
fn regex_free(text: &str) -> String {
    let line = |line: &str| match line.split_once("messageId freshet-") {
        Some((before, _)) => format!("{before}messageId (made)\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Every example event: line, account, end, reason, and how many calls.
#[tokio::test]
async fn every_example_event_is_explained() {
    let fields = TempDir::new().unwrap();
    for account in ["acme", "globex"] {
        let own = fields.path().join(account);
        std::fs::create_dir(&own).unwrap();
        for entity in ["contacts", "sales_accounts", "deals"] {
            let name = format!("{entity}.json");
            std::fs::copy(in_repository("src/sandbox/metadata").join(&name), own.join(&name)).unwrap();
        }
    }
    let folder = in_repository("examples");
    let fields = fields.path().to_str().unwrap();
    let arguments = ["explain", "events.ndjson", "--config", "freshet.toml", "--fields", fields, "--json"];
    let (status, text, errors) = run(&folder, &arguments, &[], b"").await;
    assert_eq!((status, errors.as_str()), (1, ""));
    let line = |value: &Value| {
        if let Some(summary) = value.get("summary") {
            return format!("{summary}\n");
        }
        let text = |key: &str| value[key].as_str().unwrap_or("-").to_owned();
        let [account, by, outcome, reason] = ["account", "routed_by", "outcome", "reason"].map(text);
        format!("{} {account} {by} {outcome} {reason} {}\n", value["line"], value["calls"])
    };
    insta::assert_snapshot!(lines(&text).iter().map(line).collect::<String>());
}

#[tokio::test]
async fn fields_are_listed_saved_as_answered_and_taken_back_and_no_key_is_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sandbox = Sandbox::new(Options::default());
    let served = sandbox.clone();
    let mut serving = JoinSet::new();
    serving.spawn(async move { served.serve(listener, CancellationToken::new()).await });
    let folder = TempDir::new().unwrap();
    let config = format!(
        "[broker]\nurl = \"amqp://nobody:secret-password@127.0.0.1:1/%2f\"\n[[accounts]]\nname = \"acme\"\n\
         url = \"http://{address}\"\napi_key = {{ env = \"KEY\" }}\napp_token = {{ env = \"TOKEN\" }}\n"
    );
    std::fs::write(folder.path().join("freshet.toml"), config).unwrap();
    let keys = [("KEY", KEY), ("TOKEN", TOKEN)];

    let (status, listed, errors) = run(folder.path(), &["fields", "--json"], &keys, b"").await;
    assert_eq!((status, errors.as_str()), (0, ""));
    let listed = lines(&listed);
    let plan = listed.iter().find(|field| field["field"] == "cf_plan").unwrap();
    assert_eq!(
        (&plan["trait"], &plan["type"], &plan["custom"]),
        (&json!("cfPlan"), &json!("dropdown"), &json!(true))
    );
    assert!(plan["choices"].as_array().unwrap().iter().all(|choice| choice["label"].is_string()));
    let of_company = listed.iter().find(|field| field["field"] == "cf_tier").unwrap();
    assert_eq!(
        (&of_company["trait"], &of_company["entity"]),
        (&json!("company.cfTier"), &json!("sales_account"))
    );
    let (status, table, _) = run(folder.path(), &["fields"], &keys, b"").await;
    assert_eq!(status, 0);
    insta::assert_snapshot!(table);

    let (status, _, errors) = run(folder.path(), &["fields", "--save", "saved"], &keys, b"").await;
    assert_eq!((status, errors.as_str()), (0, ""));
    freshet::tls::install_provider();
    let answered = reqwest::Client::new()
        .get(format!("http://{address}/api/settings/contacts/fields"))
        .header("authorization", "Token token=any")
        .send()
        .await
        .unwrap();
    let saved = std::fs::read(folder.path().join("saved/acme/contacts.json")).unwrap();
    assert_eq!(saved, answered.bytes().await.unwrap());
    freshet::sandbox::FieldFiles::load(&folder.path().join("saved/acme")).unwrap();

    let event = br#"{"type":"identify","userId":"u-1","traits":{"email":"ada@example.com","owner":"ines.hallstrom@example.com","contactStatus":"New"}}"#;
    let (_, online, errors) = run(folder.path(), &["explain", "-", "--json"], &keys, event).await;
    assert_eq!(errors, "");
    let (_, offline, errors) =
        run(folder.path(), &["explain", "-", "--json", "--fields", "saved"], &[], event).await;
    assert_eq!(errors, "");
    for (text, what) in [(&table, "fields"), (&online, "explain"), (&offline, "explain --fields")] {
        for secret in [KEY, TOKEN, "secret-password", "oken token"] {
            assert!(!text.contains(secret), "{what} shows a secret");
        }
    }
    // Nothing was written.
    assert_eq!(sandbox.state()["contacts"], json!([]));

    let (status, text, errors) = run(folder.path(), &["fields", "--diff", "saved"], &keys, b"").await;
    assert_eq!((status, errors.as_str()), (0, ""), "{text}");
    drop(serving);
    let (status, _, errors) = run(folder.path(), &["fields"], &keys, b"").await;
    assert_eq!(status, 1);
    let asked = format!("account `acme` cannot be read from http://{address}: ");
    assert!(errors.contains(&asked), "{errors}");
}

/// A folder with the plan's configuration, its fields as they were saved, and the same after an admin's work.
fn before_and_now() -> TempDir {
    let folder = TempDir::new().unwrap();
    let plan = in_repository("examples/tracking-plan");
    std::fs::copy(plan.join("freshet.toml"), folder.path().join("freshet.toml")).unwrap();
    for name in ["before", "now"] {
        std::fs::create_dir_all(folder.path().join(name).join("acme")).unwrap();
    }
    for entity in ["contacts", "sales_accounts", "deals"] {
        let file = format!("acme/{entity}.json");
        let text = std::fs::read_to_string(plan.join("fields").join(&file)).unwrap();
        std::fs::write(folder.path().join("before").join(&file), &text).unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        if entity == "contacts" {
            let fields = answer["fields"].as_array_mut().unwrap();
            let at =
                |name: &str, fields: &[Value]| fields.iter().position(|field| field["name"] == name).unwrap();
            let plan = at("cf_plan", fields);
            fields[plan]["label"] = json!("Price plan");
            fields[plan]["required"] = json!(true);
            fields[plan]["choices"][0]["value"] = json!("Gratis");
            fields[plan]["choices"].as_array_mut().unwrap().push(json!({"id": 9001, "value": "Platinum"}));
            let seats = at("cf_seats", fields);
            fields[seats]["type"] = json!("text");
            let gone = at("cf_background", fields);
            let mut added = fields.remove(gone);
            added["name"] = json!("cf_story");
            fields.push(added);
        }
        std::fs::write(folder.path().join("now").join(&file), answer.to_string()).unwrap();
    }
    folder
}

#[tokio::test]
async fn what_changed_since_fields_were_saved_is_told_and_fails_the_command() {
    let folder = before_and_now();
    let diff = ["fields", "--diff", "before", "--fields", "now"];
    let (status, text, errors) = run(folder.path(), &diff, &[], b"").await;
    assert_eq!((status, errors.as_str()), (1, ""));
    insta::assert_snapshot!(text);
    let (status, text, errors) = run(folder.path(), &[&diff[..], &["--json"]].concat(), &[], b"").await;
    assert_eq!((status, errors.as_str()), (1, ""));
    insta::assert_snapshot!(text);

    // One file of the folder, and nothing new.
    let file = ["fields", "--diff", "before/acme/contacts.json", "--fields", "now", "--json"];
    let (status, of_file, errors) = run(folder.path(), &file, &[], b"").await;
    assert_eq!((status, of_file == text, errors.as_str()), (1, true, ""));
    let same = ["fields", "--diff", "now", "--fields", "now"];
    let (status, text, errors) = run(folder.path(), &same, &[], b"").await;
    assert_eq!((status, errors.as_str()), (0, ""));
    assert_eq!(text, "acme: no field changed since `now` was saved\n");
}

#[tokio::test]
async fn traits_without_a_field_are_told_with_how_often_they_come_and_the_nearest_names() {
    let folder = before_and_now();
    let identify = |traits: Value| json!({"type": "identify", "userId": "u", "traits": traits}).to_string();
    let events = [
        identify(json!({"email": "ada@example.com", "shoeSize": 38, "cfSeat": 4, "firstName": "Ada"})),
        identify(json!({"email": "bob@example.com", "shoeSize": 38, "firstNam": "Bob"})),
        identify(
            json!({"email": "eve@example.com", "company": {"name": "Eve", "employe": 3}, "cfNowhere": 1}),
        ),
        json!({"type": "track", "userId": "ada@example.com", "event": "Ordered"}).to_string(),
        "no event".to_owned(),
    ]
    .join("\n");
    let missing = ["fields", "--missing", "-", "--fields", "before"];
    let (status, text, errors) = run(folder.path(), &missing, &[], events.as_bytes()).await;
    assert_eq!((status, errors.as_str()), (1, ""));
    insta::assert_snapshot!(text);
    assert!(!text.contains("ada@example.com") && !text.contains("Bob"), "a value is shown");
    let as_json = [&missing[..], &["--json"]].concat();
    let (status, text, errors) = run(folder.path(), &as_json, &[], events.as_bytes()).await;
    assert_eq!((status, errors.as_str()), (1, ""));
    insta::assert_snapshot!(text);

    let plan = in_repository("examples/tracking-plan/plan.ndjson");
    let known = ["fields", "--missing", plan.to_str().unwrap(), "--fields", "before"];
    let (status, text, errors) = run(folder.path(), &known, &[], b"").await;
    assert_eq!((status, errors.as_str()), (0, ""));
    assert_eq!(text, "acme: every trait of 4 events has a field\n");
}

#[tokio::test]
async fn mistakes_say_what_to_do() {
    let plan = in_repository("examples/tracking-plan");
    for (arguments, status, said) in [
        (
            &["explain", "plan.ndjson", "--fields", "nowhere"][..],
            64,
            "freshet fields --account acme --save nowhere",
        ),
        (&["explain", "plan.ndjson", "--fields", "fields", "--account", "acne"][..], 64, "there are: acme"),
        (&["explain", "plan.ndjson"][..], 64, "ACME_API_KEY is not set"),
        (&["explain", "gone.ndjson", "--fields", "fields"][..], 1, "gone.ndjson"),
        (&["fields", "--account", "acne"][..], 64, "there are: acme"),
        (&["fields", "--diff", "nowhere", "--fields", "fields"][..], 64, "--account acme --save nowhere"),
        (
            &["fields", "--diff", "plan.ndjson", "--fields", "fields"][..],
            64,
            "the folder that `freshet fields --save` wrote",
        ),
        (&["fields", "--diff", "fields", "--save", "fields"][..], 64, "cannot be used with"),
        (&["fields", "--missing", "gone.ndjson", "--fields", "fields"][..], 1, "gone.ndjson"),
        (&["fields", "--fields", "nowhere"][..], 64, "--account acme --save nowhere"),
    ] {
        let (got, _, errors) = run(&plan, arguments, &[], b"").await;
        assert_eq!(got, status, "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
}
