//! Explanations of events against the sandbox's built-in account.

use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{AccountExplainer, AccountFields, Explanation};
use crate::config;

fn explainer(settings: &str) -> AccountExplainer {
    let text = format!(
        "[[accounts]]\nname = \"acme\"\nurl = \"http://127.0.0.1:1\"\napi_key = {{ env = \"K\" }}\napp_token = {{ env = \"K\" }}\n{settings}"
    );
    let config = config::parse(&text, Path::new("test.toml"), &|name| {
        (!name.starts_with("FRESHET_")).then(|| "unused".to_owned())
    })
    .unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sandbox/metadata");
    let fields = AccountFields::from_folder(folder.parent().unwrap(), "metadata").unwrap();
    AccountExplainer::new(&config.accounts[0], &fields)
}

fn explained(explainer: &AccountExplainer, event: &Value) -> Explanation {
    explainer.explain(&Bytes::from(event.to_string()), Instant::now())
}

#[test]
fn probe() {
    let explainer = explainer("");
    for event in [
        json!({"type":"identify","userId":"ada@x.com","traits":{"firstName":"John"}}),
        json!({"type":"track","userId":"u1","event":"x"}),
        json!({"type":"identify","userId":"u1","traits":{"firstName":"John"}}),
        json!({"type":"identify","userId":"u1","traits":{"email":"a@b.co"}}),
        json!({"type":"identify","userId":"ada@x.com","traits":{"company":"X"}}),
        json!({"type":"identify","userId":"ada@x.com","traits":{"deal":{"name":"d","amount":1}}}),
        json!({"type":"identify","userId":"u","traits":{"email":"a@b.co","company":"X", "deal":{"name":"d","amount":1}}}),
    ] {
        let began = std::time::Instant::now();
        let e = explained(&explainer, &event);
        println!(
            "{event}\n {:?} most {} usual {:?} {:?} in {:?}",
            e.ends,
            e.foreseen.most,
            e.foreseen.usual,
            e.foreseen.refusals,
            began.elapsed()
        );
        for r in &e.foreseen.requests {
            println!(
                "   {} {} if {:?}\n        {}",
                r.method,
                r.path,
                r.condition,
                r.body.as_ref().map(|b| b.to_string()).unwrap_or_default()
            );
        }
    }
}
