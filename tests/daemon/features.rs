//! Accounts that do not honour what reading and linking many contacts at once needs: no link is lost, everything is
//! linked, and people are told what does not work.

use std::collections::{BTreeMap, BTreeSet};

use freshet::sandbox::{BulkLinks, Options, ReadOptions, SearchFilter, SearchInclude, WriteOptions};
use serde_json::{Value, json};

use crate::calls::by_another;
use crate::events::addressed;
use crate::support::Freshet;
use crate::world::World;

const CONTACTS: usize = 40;
const COMPANIES: usize = 10;
/// The companies that the contacts have before any event comes; the first is the primary.
const FORMER: [&str; 2] = ["Former Ltd", "Other Ltd"];
const CONTACT_SEARCH: &str = "contact_search";
const ACCOUNT_SEARCH: &str = "sales_account_search";
const DEALS: &str = "deals_in_search";
const LINKS: &str = "links_in_bulk";

fn email(contact: usize) -> String {
    format!("c{contact}@example.com")
}

fn company(contact: usize) -> String {
    format!("Company {}", contact % COMPANIES)
}

/// Each account's name, how its sandbox differs, and what is then known of it.
fn accounts() -> Vec<(&'static str, Options, BTreeMap<&'static str, bool>)> {
    let usual = Options::default;
    let reads = |reads| Options { reads, ..usual() };
    let all = [(CONTACT_SEARCH, true), (ACCOUNT_SEARCH, true), (DEALS, true), (LINKS, true)];
    vec![
        ("honours", usual(), BTreeMap::from(all)),
        (
            "one-value",
            reads(ReadOptions { search_filter: SearchFilter::OneValue, ..ReadOptions::default() }),
            BTreeMap::from([(CONTACT_SEARCH, false), (ACCOUNT_SEARCH, false)]),
        ),
        (
            "first-25",
            reads(ReadOptions { search_filter: SearchFilter::First25, ..ReadOptions::default() }),
            BTreeMap::from(all),
        ),
        (
            "no-filter",
            reads(ReadOptions { search_filter: SearchFilter::Ignored, ..ReadOptions::default() }),
            BTreeMap::from([(CONTACT_SEARCH, false), (ACCOUNT_SEARCH, true)]),
        ),
        (
            "no-include",
            reads(ReadOptions { search_include: SearchInclude::Ignored, ..ReadOptions::default() }),
            BTreeMap::from([(CONTACT_SEARCH, false), (ACCOUNT_SEARCH, true)]),
        ),
        (
            "no-deals",
            reads(ReadOptions { search_include: SearchInclude::WithoutDeals, ..ReadOptions::default() }),
            BTreeMap::from([(CONTACT_SEARCH, true), (ACCOUNT_SEARCH, true), (DEALS, false), (LINKS, true)]),
        ),
        (
            "no-links",
            Options {
                writes: WriteOptions { bulk_links: BulkLinks::Ignored, ..WriteOptions::default() },
                ..usual()
            },
            BTreeMap::from([(CONTACT_SEARCH, true), (ACCOUNT_SEARCH, true), (DEALS, true), (LINKS, false)]),
        ),
    ]
}

/// Another program makes the contacts, linked to companies of its own, and one contact that no event is about.
async fn make_contacts(world: &World, account: &str) {
    let mut links = Vec::new();
    for name in FORMER {
        let made = json!({"sales_account": {"name": name}});
        let made = by_another(world, account, "/api/sales_accounts", &made).await;
        links.push(json!({"id": made["sales_account"]["id"], "is_primary": links.is_empty()}));
    }
    for address in (1..=CONTACTS).map(email).chain(["stranger@example.com".to_owned()]) {
        let contact = json!({
            "unique_identifier": {"emails": address}, "contact": {"emails": address, "sales_accounts": links}
        });
        by_another(world, account, "/api/contacts/upsert", &contact).await;
    }
}

fn assert_linked(account: &str, state: &Value) {
    let contacts = state["contacts"].as_array().unwrap();
    for contact in 1..=CONTACTS {
        let row = contacts.iter().find(|row| row["email"] == email(contact)).unwrap();
        let links = row["sales_accounts"].as_array().unwrap();
        let names: BTreeSet<&str> = links.iter().map(|link| link["name"].as_str().unwrap()).collect();
        let new = company(contact);
        assert_eq!(names, FORMER.into_iter().chain([&*new]).collect(), "{account}: contact {contact}");
        let primary: Vec<_> = links.iter().filter(|link| link["is_primary"] == true).collect();
        assert_eq!((primary.len(), &primary[0]["name"]), (1, &json!(FORMER[0])), "{account}: {contact}");
        assert_eq!(row["last_name"], format!("Number {contact}"), "{account}");
    }
    assert_eq!(state["sales_accounts"].as_array().unwrap().len(), FORMER.len() + COMPANIES, "{account}");
}

/// What an account's features are, as the metrics, the API, the page and the log have them.
async fn told(replica: &Freshet, account: &str) -> BTreeMap<String, bool> {
    let (_, body) = replica.get(&format!("/api/accounts/{account}")).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let known = body["report"]["details"]["bulk_features"].as_object().unwrap();
    let known: BTreeMap<String, bool> =
        known.iter().map(|(feature, works)| (feature.clone(), works.as_bool().unwrap())).collect();
    let (_, page) = replica.get(&format!("/accounts/{account}")).await;
    let log = replica.log();
    for (feature, works) in &known {
        let series = format!("freshet_bulk_feature{{account=\"{account}\",feature=\"{feature}\"}}");
        assert_eq!(replica.metric(&series).await, f64::from(u8::from(*works)), "{series}");
        assert!(page.contains(feature.as_str()), "{account}: {feature} is not on the page");
        let line = |line: &&str| {
            line.contains("a bulk feature does not work for the account")
                && line.contains(account)
                && line.contains(feature.as_str())
        };
        assert_eq!(log.lines().filter(line).count(), usize::from(!works), "{account}: {feature}");
    }
    known
}

#[tokio::test]
async fn accounts_that_honour_less_keep_all_links_and_are_told_what_does_not_work() {
    let mut world = World::shared().await;
    let accounts = accounts();
    for (name, options, _) in &accounts {
        let settings = format!("write_keys = [\"{name}\"]");
        world = world.account_with(name, &settings, options.clone()).await;
        make_contacts(&world, name).await;
    }
    let replica = world.start("one").await;
    let identify = |contact: usize| {
        json!({
            "type": "identify", "userId": email(contact), "messageId": format!("{contact}"),
            "traits": {
                "email": email(contact), "lastName": format!("Number {contact}"),
                "company": {"name": company(contact)}
            }
        })
    };
    // The first contact goes alone. From then on it is one that searches must find.
    let to_all = |contact: usize| accounts.iter().map(move |(name, ..)| addressed(identify(contact), name));
    world.publish_all(to_all(0)).await;
    world.settled(&[&replica]).await;
    // One account's events after the other's, so that those of a lane come together.
    let of_one = |name| (1..=CONTACTS).map(move |contact| addressed(identify(contact), name));
    world.publish_all(accounts.iter().flat_map(|(name, ..)| of_one(*name))).await;
    world.settled(&[&replica]).await;
    for (name, _, known) in &accounts {
        assert_linked(name, &world.state(name));
        let known: BTreeMap<String, bool> =
            known.iter().map(|(feature, works)| ((*feature).to_owned(), *works)).collect();
        assert_eq!(told(&replica, name).await, known, "{name}");
    }
    world.finish([replica]).await;
}
