//! The cost of an event with any content: of decoding it, mapping it and making its call.

use bytes::Bytes;

use super::*;
use crate::cost::{allocated, filled, stays_linear};
use crate::freshsales::Call;
use crate::lane::single_bodies;
use crate::mapping::Mapped;
use crate::segment::BODY_LIMIT;

fn rules() -> MappingRules {
    let fields =
        of_contacts(overrides(&[("plan.name", "cf_plan"), ("a.b.c", "first_name"), ("x", "cf_gone")]));
    MappingRules { fields, ..MappingRules::default() }
}

/// All steps from a body to its call.
fn work(mapper: &Mapper, body: &Bytes) {
    drop(segment::routing_keys(body));
    drop(segment::glimpse(body));
    let Ok(event) = segment::decode(body) else { return };
    match mapper.map(&event).verdict {
        Ok(Mapped::Track(track)) => drop(Call::track_event("u", &track.name, track.properties.as_str())),
        Ok(Mapped::Page(page)) => {
            drop(Call::track_page_view("u", &page.url, page.properties.as_str(), &page.added));
        }
        Ok(Mapped::Contact(_)) | Err(_) => {}
    }
}

/// Makes a body of so many bytes that holds many of one thing.
type Many = (&'static str, fn(usize) -> String);

const IDENTIFY: &str = r#"{"type":"identify","userId":"ada@example.com","traits":{"#;

fn traits(bytes: usize, open: &str, item: impl Fn(usize) -> String, close: &str) -> String {
    filled(bytes, &format!("{IDENTIFY}{open}"), item, &format!("{close}}}}}"))
}

fn activity(kind: &str, bytes: usize, open: &str, item: impl Fn(usize) -> String, close: &str) -> String {
    let start = format!(r#"{{"type":"{kind}","event":"E","name":"N","userId":"u",{open}"#);
    filled(bytes, &start, item, &format!("{close}}}"))
}

const MANY: &[Many] = &[
    ("unknown traits", |bytes| traits(bytes, "", |n| format!(r#""trait{n}":1"#), "")),
    ("problems", |bytes| traits(bytes, "", |n| format!(r#""cf_t{n}":1"#), "")),
    ("traits of one field", |bytes| {
        let name = |n: usize| {
            let upper =
                |(place, c): (usize, char)| if n >> place & 1 == 1 { c.to_ascii_uppercase() } else { c };
            "cfalternatenumber".chars().enumerate().map(upper).collect::<String>()
        };
        traits(bytes, "", |n| format!(r#""{}":{n}"#, name(n)), "")
    }),
    ("traits called the same", |bytes| traits(bytes, "", |n| format!(r#""firstName":{n}"#), "")),
    ("long names", |bytes| traits(bytes, "", |n| format!(r#""cf_{n}{}":1"#, "n".repeat(9000)), "")),
    ("one name", |bytes| {
        traits(bytes, "\"", |n| if n == 0 { "n".repeat(bytes - 200) } else { "x".repeat(bytes) }, "\":1")
    }),
    ("e-mail addresses", |bytes| traits(bytes, r#""emails":["#, |n| format!("\"a{n}@example.com\""), "]")),
    ("an address that goes on", |bytes| traits(bytes, r#""email":""#, |n| format!("a{n}@"), "\"")),
    ("tags", |bytes| traits(bytes, r#""tags":["#, |n| format!("\"t{n}\""), "]")),
    ("phone numbers", |bytes| traits(bytes, r#""phone_numbers":["#, |n| format!("\"{n}\""), "]")),
    ("choices", |bytes| {
        traits(bytes, r#""cf_hobbies":["#, |n| format!("\"{}Chess\"", " ".repeat(n % 9)), "]")
    }),
    ("choices in a text", |bytes| {
        traits(bytes, r#""cf_hobbies":""#, |n| format!(";{}go", " ".repeat(n % 9)), "\"")
    }),
    ("parts of an address", |bytes| traits(bytes, r#""address":{"#, |n| format!(r#""part{n}":1"#), "}")),
    ("traits of a company", |bytes| {
        traits(bytes, r#""company":{"name":"A","#, |n| format!(r#""t{n}":1"#), "}")
    }),
    ("problems of a deal", |bytes| {
        traits(bytes, r#""deal":{"name":"A","#, |n| format!(r#""cf_t{n}":1"#), "}")
    }),
    ("members under an override", |bytes| traits(bytes, r#""plan":{"#, |n| format!(r#""t{n}":null"#), "}")),
    ("zeros", |bytes| traits(bytes, r#""first_name":["#, |_| "0".to_owned(), "]")),
    ("digits", |bytes| traits(bytes, r#""cf_score":1"#, |_| "0".to_owned(), "").replace("0,0", "00")),
    ("nesting", |bytes| {
        traits(bytes, "", |n| format!(r#""t{n}":{}{}"#, "[".repeat(120), "]".repeat(120)), "")
    }),
    ("nesting too deep", |bytes| "[".repeat(bytes)),
    ("escapes", |bytes| traits(bytes, r#""cf_notes":""#, |_| r"\u0041\ud83d\ude00".to_owned(), "\"")),
    ("keys of the envelope", |bytes| activity("track", bytes, "", |n| format!(r#""key{n}":1"#), "")),
    ("keys called the same", |bytes| activity("track", bytes, "", |n| format!(r#""userId":{n}"#), "")),
    ("traits of the context", |bytes| {
        let open = r#""traits":{"e":1},"context":{"traits":{"#;
        activity("identify", bytes, open, |n| format!(r#""E-Mail{n}":"a@b.co","t-{n}":1"#), "}}")
    }),
    ("spellings of the address", |bytes| {
        traits(bytes, "", |n| format!(r#""{}email":"a@b.co""#, "_".repeat(n % 50)), "")
    }),
    ("whole names", |bytes| traits(bytes, "", |n| format!(r#""{}name":"a b""#, "_".repeat(n % 50)), "")),
    ("one whole name", |bytes| traits(bytes, r#""name":""#, |n| format!("a{n} "), "\"")),
    ("tags in a text", |bytes| traits(bytes, r#""tags":""#, |n| format!("t{n}"), "\"")),
    ("halves of characters", |bytes| traits(bytes, r#""cf_notes":""#, |_| r"\ud83d\ud83d".to_owned(), "\"")),
    ("a user's digits", |bytes| format!("{IDENTIFY}\"a\":1}},\"userId\":1{}.0}}", "0".repeat(bytes))),
    ("an empty company", |bytes| traits(bytes, r#""company":["#, |_| "{}".to_owned(), "]")),
    ("integrations", |bytes| {
        activity("track", bytes, r#""integrations":{"#, |n| format!(r#""I{n}":false"#), "}")
    }),
    ("context", |bytes| {
        activity("track", bytes, r#""context":{"traits":{"#, |n| format!(r#""email":"a{n}@b.co""#), "}}")
    }),
    ("properties", |bytes| activity("track", bytes, r#""properties":{"#, |n| format!(r#""name":{n}"#), "}")),
    ("properties of a page", |bytes| {
        activity("page", bytes, r#""properties":{"url":"u","#, |n| format!(r#""url":"u{n}""#), "}")
    }),
    ("a long message id", |bytes| activity("track", bytes, r#""messageId":""#, |n| format!("m{n}"), "\"")),
];

#[test]
fn no_number_of_anything_costs_its_square() {
    let mapper = Mapper::new(rules(), schema());
    for (what, body) in MANY {
        stays_linear(what, |bytes| Bytes::from(body(bytes)), |body| work(&mapper, body));
    }
}

#[test]
fn an_unknown_trait_costs_a_few_allocations() {
    let mapper = Mapper::new(rules(), schema());
    let body = |traits: usize| {
        let item =
            |n: usize| if n < traits { format!(r#""fristName{n}":1"#) } else { "x".repeat(BODY_LIMIT) };
        filled(BODY_LIMIT, IDENTIFY, item, "}}")
    };
    let cost = |traits: usize| {
        let event = segment::decode(&body(traits).into()).unwrap();
        allocated(|| drop(mapper.map(&event))).count_total
    };
    let (none, many) = (cost(0), cost(57));
    assert!(many < none + 57 * 12, "{none} allocations without, {many} with 57 unknown traits");
}

const DOCUMENTED: &str = r#"{"type":"identify","userId":"97980cfea0067","traits":{"firstName":"John","lastName":"Doe",
    "email":"john.doe@example.com","cfAlternateNumber":"98765432","company":{"name":"Example.com"},
    "deal":{"name":"Sample Deal","amount":1234}}}"#;

fn large() -> String {
    let item = |n: usize| match n {
        0 => r#""email":"ada@example.com""#.to_owned(),
        1 => r#""firstName":"Ada""#.to_owned(),
        2..57 => format!(r#""fristName{n}":"a value""#),
        _ => "x".repeat(BODY_LIMIT),
    };
    filled(BODY_LIMIT, IDENTIFY, item, "}}")
}

/// Decoding, mapping and making the calls' bodies, as for each event of a lane. The bounds are some 10 % above what was
/// measured.
#[test]
fn an_event_costs_few_allocations() {
    let mapper = Mapper::new(MappingRules::default(), schema());
    let track = r#"{"type":"track","messageId":"m","userId":"97980cfea0067","event":"Bought",
        "properties":{"name":"Night shift","revenue":49.90}}"#;
    for (what, body, decoding, mapping, encoding) in [
        ("the documented identify", DOCUMENTED.to_owned(), 2, 19, 17),
        ("57 traits, most unknown", large(), 1, 10, 7),
        ("a track", track.to_owned(), 4, 2, 5),
    ] {
        let body = Bytes::from(body);
        let decoded = allocated(|| drop(segment::decode(&body))).count_total;
        let event = segment::decode(&body).unwrap();
        let mapped = allocated(|| assert!(mapper.map(&event).verdict.is_ok())).count_total;
        let write = mapper.map(&event).verdict.unwrap();
        let encoded = allocated(|| drop(single_bodies(write))).count_total;
        let cheap = decoded <= decoding && mapped <= mapping && encoded <= encoding;
        assert!(cheap, "{what}: {decoded} allocations to decode, {mapped} to map, {encoded} to encode");
    }
}

#[test]
fn an_activity_is_passed_on_without_building_its_values() {
    let mapper = Mapper::new(rules(), schema());
    for kind in ["track", "page"] {
        let open = r#""properties":{"url":"https://example.com/","list":["#;
        let body: Bytes = activity(kind, BODY_LIMIT, open, |_| "0".to_owned(), "]}").into();
        let cost = allocated(|| {
            let event = segment::decode(&body).unwrap();
            let mapping = mapper.map(&event);
            assert!(mapping.verdict.is_ok());
        });
        assert!(cost.bytes_total < 16 * 1024, "{kind}: {cost:?}");
    }
}
