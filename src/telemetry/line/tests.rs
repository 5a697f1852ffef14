use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn addresses_are_masked_and_the_rest_stays() {
    for (line, expected) in [
        ("event.message_id=\"ada@example.com\" n=1\n", "event.message_id=\"[e-mail]\" n=1\n"),
        ("why=ada.b+c@sub.example.co.uk, again\n", "why=[e-mail], again\n"),
        ("traits=\"a,Ada@Example.COM,b\"", "traits=\"a,[e-mail],b\""),
        ("q=ada%40example.com&f=1 100%", "q=[e-mail]&f=1 100%"),
        ("<o'brien@localhost> and x@[127.0.0.1]!", "<[e-mail]> and [e-mail]!"),
        ("\"line\\nada@x.co\"", "\"line\\n[e-mail]\""),
        ("\u{1b}[2m=\u{1b}[0mada@x.co\u{1b}[0m", "\u{1b}[2m=\u{1b}[0m[e-mail]\u{1b}[0m"),
        ("größe@müller.example", "[e-mail]"),
        ("ada＠example.com and bob﹫example.com", "[e-mail] and [e-mail]"),
        ("id=\"ada\\u{200b}@x.co\"", "id=\"[e-mail]\""),
        ("id=\"ada@\\u{200b}x.co\"", "id=\"[e-mail]\""),
        ("id=\"ada\\u{1b}[0m@x.co\"", "id=\"[e-mail]\""),
        ("ada\u{fe6b}x.co", "[e-mail]"),
        ("a \"john doe\"@example.com b", "a [e-mail] b"),
        ("a@b@c.de", "[e-mail]"),
        ("id=A%40a@0, b%40@", "id=[e-mail], b%40@"),
        ("no address @ all, @you, me@ 50% %4", "no address @ all, @you, me@ 50% %4"),
    ] {
        assert_eq!(text(line), expected);
    }
}

#[test]
fn a_json_line_stays_one() {
    let line =
        json!({"message": "it\nbroke", "id": "ada@example.com", "n": 5, "why": "\"a b\"@x.co\\bob@x.co"});
    let read: Value = serde_json::from_str(&json(&format!("{line}\n"))).unwrap();
    let expected = json!({"message": "it\nbroke", "id": "[e-mail]", "n": 5, "why": "[e-mail]\\b[e-mail]"});
    assert_eq!(read, expected);
    let coloured = json!({"id": "ada\u{1b}[0m@x.co ada\u{1b}[31mbob@x.co \u{1b}[0m@x.co"});
    let read: Value = serde_json::from_str(&json(&format!("{coloured}\n"))).unwrap();
    assert!(!read["id"].as_str().unwrap().contains('@'), "{read}");
    let quiet = "{\"message\":\"a\",\"n\":1}\n";
    assert!(matches!(json(quiet), Cow::Borrowed(same) if same == quiet));
}

#[test]
fn long_lines_are_cut() {
    let line = format!("{} é{}\n", "x".repeat(4000), "é".repeat(500_000));
    let cut = text(&line);
    assert!(cut.len() <= LINE_LIMIT && cut.ends_with(" bytes more)\n"), "{cut}");
    let long = json!({"timestamp": "t", "level": "WARN", "message": "m", "a": "\u{1}".repeat(9000), "b": "é@".repeat(9000)});
    let cut = json(&format!("{long}\n")).into_owned();
    let read: Value = serde_json::from_str(&cut).unwrap();
    assert!(cut.len() <= LINE_LIMIT && read["message"] == "m" && read["a"].as_str().unwrap().ends_with('…'));
    let mut many = serde_json::Map::from_iter([("message".to_owned(), json!("m"))]);
    many.extend((0..2000).map(|n| (format!("field{n}"), json!("x"))));
    let cut = json(&format!("{}\n", Value::from(many))).into_owned();
    assert_eq!(serde_json::from_str::<Value>(&cut).unwrap(), json!({"message": "m"}));
}

#[test]
fn a_line_of_any_length_costs_no_square() {
    for piece in ["a@", "a@[", "@", "%4", "ada@example.com ", "\"", "\\"] {
        crate::cost::stays_linear(
            piece,
            |bytes| piece.repeat(bytes / piece.len()),
            |line| {
                drop(text(line).into_owned());
                drop(json(&Value::from_iter([("message", line.as_str())]).to_string()).into_owned());
            },
        );
    }
}

/// An address that the mapping accepts.
fn address() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9é]{1,8}([.!#$%&'*+/?^_`{|}~-][a-z0-9]{1,5}){0,3}@[a-z0-9é]{1,8}(\\.[a-z]{2,5}){0,2}"
}

proptest! {
    #[test]
    fn no_line_holds_an_address_or_is_long(
        before in "[ -~é\n]{0,40}[ ,:;\"'<(\n]", address in address(), after in "([ ,:;\"'>)\n][ -~é\n]{0,40})?",
        padding in 0usize..9000,
    ) {
        let value = format!("{before}{address}{after}{}", "é ".repeat(padding));
        let people = text(&value).into_owned();
        prop_assert!(people.len() <= LINE_LIMIT && !people.contains(&address), "{people}");
        let line = format!("{}\n", json!({"timestamp": "t", "message": value, "n": 1, "id": address}));
        let machines = json(&line).into_owned();
        let read: Value = serde_json::from_str(&machines).unwrap();
        prop_assert!(machines.len() <= LINE_LIMIT && !machines.contains(&address), "{machines}");
        prop_assert_eq!((&read["timestamp"], &read["n"], &read["id"]), (&json!("t"), &json!(1), &json!("[e-mail]")));
    }

    #[test]
    fn any_line_can_be_written(line in "\\PC{0,200}", many in 1usize..60) {
        let line = line.repeat(many);
        prop_assert!(text(&line).len() <= LINE_LIMIT);
        prop_assert!(json(&line).len() <= LINE_LIMIT);
    }
}
