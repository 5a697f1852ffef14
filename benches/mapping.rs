//! What one event costs: on its way from a message's body to a call's, and before that at the router. Time, and
//! allocations.
//!
//! `cargo bench --bench mapping`. Only ratios of two builds count, taken in turn on one machine:
//! docs/PERFORMANCE.md says how.
#![allow(clippy::print_stdout, clippy::expect_used, missing_docs, reason = "a program that speaks to people")]

use std::hint::black_box;

use allocation_counter::measure;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use freshet::broker::{RouterTrial, TrialMessage};
use freshet::lane::{bulk_body, single_bodies};
use freshet::mapping::{Mapped, Mapper, MappingRules};
use freshet::routing::AccountKeys;
use freshet::schema::{Fields, Schema};
use freshet::segment::{Event, decode};

/// What Segment's libraries put around the traits or properties.
const ENVELOPE: &str = r#""messageId":"f8765d82-23a4-465c-a505-943b0f73beea","channel":"server","context":{"ip":"203.0.113.7","library":{"name":"analytics-node","version":"2.1.3"},"locale":"en-GB","timezone":"Europe/Amsterdam","page":{"path":"/signup","referrer":"https://www.example.com/","search":"?utm_source=news","title":"Sign up","url":"https://www.example.com/signup?utm_source=news"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},"integrations":{"All":true},"timestamp":"2026-03-02T09:00:37.120Z","originalTimestamp":"2026-03-02T09:00:37.100Z","sentAt":"2026-03-02T09:00:37.180Z","receivedAt":"2026-03-02T09:00:37.240Z","version":2,"writeKey":"wk_acme","projectId":"prj_acme","userId":"97980cfea0067""#;

/// The identify of docs/MAPPING.md.
const TRAITS: &str = r#""firstName":"John","lastName":"Doe","email":"john.doe@example.com","cfAlternateNumber":"98765432","company":{"name":"Example.com"},"deal":{"name":"Sample Deal","amount":1234}"#;

const PROPERTIES: &str = r#""name":"Night shift","shared":true,"report":"weekly-utilisation","rows":1840,"format":"csv","revenue":49.90,"currency":"EUR""#;

fn events() -> [(&'static str, Bytes); 3] {
    let event = |kind: &str, rest: String| Bytes::from(format!(r#"{{"type":"{kind}",{ENVELOPE},{rest}}}"#));
    let unknown: Vec<String> = (0..51).map(|number| format!(r#","favourite{number}":"a value""#)).collect();
    let unknown = unknown.concat();
    [
        ("identify", event("identify", format!(r#""traits":{{{TRAITS}}}"#))),
        ("large identify", event("identify", format!(r#""traits":{{{TRAITS}{unknown}}}"#))),
        ("track", event("track", format!(r#""event":"Report Exported","properties":{{{PROPERTIES}}}"#))),
    ]
}

/// The fields that the sandbox has built in.
fn mapper() -> Mapper {
    let fields = |text: &str| {
        let answer = serde_json::from_str(text).expect("JSON");
        Fields::read(&answer).expect("fields").0
    };
    let schema = Schema {
        contact: fields(include_str!("../src/sandbox/metadata/contacts.json")),
        sales_account: fields(include_str!("../src/sandbox/metadata/sales_accounts.json")),
        deal: fields(include_str!("../src/sandbox/metadata/deals.json")),
    };
    Mapper::new(MappingRules::default(), schema)
}

fn mapped(mapper: &Mapper, event: &Event) -> Mapped {
    mapper.map(event).verdict.expect("an event that is delivered")
}

/// A router of two accounts, which has routed an event.
fn router() -> RouterTrial {
    let keys = |account: &str, key: &str| AccountKeys {
        name: account.into(),
        write_keys: vec![key.to_owned()],
        project_ids: vec![],
    };
    let mut router =
        RouterTrial::new(&[keys("acme", "wk_acme"), keys("globex", "wk_globex")]).expect("metrics");
    for (_, body) in events() {
        router.route(message(&body));
    }
    router
}

fn message(body: &Bytes) -> TrialMessage {
    TrialMessage::new("f8765d82-23a4-465c-a505-943b0f73beea", body.clone())
}

fn allocations() {
    let (mapper, mut router) = (mapper(), router());
    println!(
        "| event | bytes | to route | to decode | to map | to encode, each call alone | to encode, in bulk |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, body) in events() {
        let taken = message(&body);
        let routing = measure(|| assert_eq!(router.route(taken), 1)).count_total;
        let decoding = measure(|| drop(decode(&body))).count_total;
        let event = decode(&body).expect("an event");
        let mapping = measure(|| drop(mapped(&mapper, &event))).count_total;
        let (one, two) = (mapped(&mapper, &event), vec![mapped(&mapper, &event)]);
        let single = measure(|| drop(single_bodies(one))).count_total;
        let bulk = measure(|| drop(bulk_body(two))).count_total;
        println!("| {name} | {} | {routing} | {decoding} | {mapping} | {single} | {bulk} |", body.len());
    }
}

fn times(criterion: &mut Criterion) {
    allocations();
    let (mapper, mut router) = (mapper(), router());
    for (name, body) in events() {
        let event = decode(&body).expect("an event");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        group.bench_function("route", |bencher| {
            bencher.iter_batched(|| message(&body), |taken| router.route(taken), BatchSize::SmallInput);
        });
        group.bench_function("decode", |bencher| bencher.iter(|| decode(black_box(&body))));
        group.bench_function("map", |bencher| bencher.iter(|| mapper.map(black_box(&event))));
        let ready = || mapped(&mapper, &event);
        group.bench_function("encode", |bencher| {
            bencher.iter_batched(ready, single_bodies, BatchSize::SmallInput);
        });
        let hundred = || (0..100).map(|_| mapped(&mapper, &event)).collect::<Vec<_>>();
        group.bench_function("encode 100 in bulk", |bencher| {
            bencher.iter_batched(hundred, bulk_body, BatchSize::SmallInput);
        });
        group.bench_function("all", |bencher| {
            bencher.iter(|| single_bodies(mapped(&mapper, &decode(black_box(&body)).expect("an event"))));
        });
        group.finish();
    }
}

criterion_group!(benches, times);
criterion_main!(benches);
