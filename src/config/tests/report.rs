//! What people see of their mistakes.

use super::*;

fn report(text: &str, variables: &[(&str, &str)]) -> String {
    read(text, variables).unwrap_err().to_string()
}

#[test]
fn every_mistake_shows_its_line_with_a_caret() {
    let text = r#"# The staging system
[broker]
quue = "events"            # see the ticket
prefetch_bytes = "64 apples"
url = "amqp://user:s3cret@host:1234567"
[http]
listen = "here"
admin_token = "s3cret"
[delivery]
request_timeout = 30
[[accounts]]
name = "Äcme"
url = "http://acme.example.com"
api_key = "s3cret"
plan = "gold"
events = [
    "identify",
    "screen", # s3cret
]
[accounts.fields]
plan.name = "cf_plan"
[[accounts]]
name = "globex"
url = "https://user:s3cret@globex.example.com"
api_key = { env = "KEY", plan = "s3cret" }
passwrd = "s3cret"
[[accounts]]
"#;
    let shown = report(text, &[("FRESHET_BROKER_PREFETCH", "many")]);
    assert!(!shown.contains("s3cret"));
    insta::assert_snapshot!(shown);
}

#[test]
fn a_file_that_is_not_toml_shows_where_and_no_value() {
    for (name, text) in [
        ("quote", "[broker]\nurl = \"amqp://user:s3cret@host\nprefetch = 9\n"),
        ("several", "[broker\nprefetch 9\nqueue = s3cret\n\"S3cret\" amqp://user:s3cret@host = 1\nS3cret\n"),
        ("bare", "[broker]\nqueue = s3cret\n[[accounts]]\nname: s3cret\n"),
        ("twice", "[log]\nlevel = \"s3cret\"\nlevel = \"s3cret\"\n"),
        ("number", "[broker]\nprefetch = 99999999999999999999\n"),
    ] {
        let shown = report(text, &[]);
        assert!(!shown.to_lowercase().contains("s3cret"), "{shown}");
        insta::assert_snapshot!(name, shown);
    }
}

#[test]
fn tables_on_one_line_show_only_what_is_wrong() {
    let text = "accounts = [{ name = \"a\", url = \"a\", api_key = { env = \"KEY\" }, plan = \"gold\", \"s3cret\" = 1 }]";
    insta::assert_snapshot!(report(text, &[("KEY", "k")]));
}

#[test]
fn a_terminal_gets_colours() {
    let error = read("brokr = 1", &[]).unwrap_err();
    assert!(error.coloured().contains("\u{1b}["));
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn programs_get_line_column_and_the_line() {
    let ConfigError::Invalid { problems, .. } = read(&format!("{ACME}plan = 'gold'"), &[]).unwrap_err()
    else {
        panic!("expected problems");
    };
    let [key, plan] = &problems[..] else { panic!("{problems:?}") };
    let place = plan.place.as_ref().unwrap();
    assert_eq!((plan.key.as_deref(), place.line, place.column), (Some("accounts[0].plan"), 6, 8));
    assert_eq!((place.text.as_str(), &place.text[place.marked.clone()]), ("plan = 'gold'", "'gold'"));
    assert_eq!(key.place.as_ref().unwrap().text, "api_key = { env = *** }");
}
