//! What events cost, counted where the calls arrive.
//!
//! One daemon, as it is installed, has an account for each kind of traffic, and each account's sandbox is slow as real
//! accounts are. Events come in rounds, with other values each time. What counts is every request that a sandbox was
//! asked, but for those that read fields and choices: their number follows from the time and not from the events. How
//! long it takes is told, and decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use freshet::sandbox::{JobOptions, Options, ReadOptions};
use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use crate::support::{Freshet, soon};
use crate::world::{World, sum};

/// Events a second where they arrive steadily.
const PACE: usize = 200;
/// The company that the contacts of some accounts have before any event comes.
const FORMER: &str = "Former Ltd";

/// Which company events give their contacts.
#[derive(Clone, Copy)]
enum Company {
    None,
    /// One of so many.
    OneOf(usize),
    Own,
}

/// An account, and what its events are like.
struct Kind {
    account: &'static str,
    settings: &'static str,
    contacts: usize,
    company: Company,
    deal: bool,
    /// Whether its contacts are there before the first event, with a company of their own.
    known: bool,
}

const BARE: Kind = Kind {
    account: "waiting",
    settings: "",
    // So many that what the lane has to learn of the account first does not decide.
    contacts: 2000,
    company: Company::None,
    deal: false,
    known: false,
};
const STEADY: Kind = Kind { account: "steady", ..BARE };
const COMPANIES: Kind = Kind { account: "companies", company: Company::OneOf(50), ..BARE };
const MOVED: Kind = Kind { account: "moved", contacts: 600, known: true, ..COMPANIES };
const DOCUMENTED: Kind =
    Kind { account: "contact", contacts: 1000, company: Company::Own, deal: true, ..BARE };
const BY_NAME: Kind = Kind { account: "name", settings: "deal_identity = \"name\"", ..DOCUMENTED };
const KINDS: [&Kind; 6] = [&BARE, &STEADY, &COMPANIES, &MOVED, &DOCUMENTED, &BY_NAME];

impl Kind {
    fn email(&self, contact: usize) -> String {
        format!("{}.{contact}@example.com", self.account)
    }

    fn company(&self, contact: usize) -> Option<String> {
        match self.company {
            Company::None => None,
            Company::OneOf(companies) => Some(format!("Company {} Ltd", contact % companies)),
            Company::Own => Some(format!("Company {contact} Ltd")),
        }
    }

    /// The documented identify, of one contact in one round.
    fn event(&self, contact: usize, round: usize) -> String {
        let mut traits = json!({
            "firstName": "Ada", "lastName": format!("Number {contact}"), "email": self.email(contact),
            "cfAlternateNumber": value(contact, round),
        });
        if let Some(name) = self.company(contact) {
            traits["company"] = json!({ "name": name });
        }
        if self.deal {
            traits["deal"] = json!({"name": format!("Deal {contact}"), "amount": amount(contact, round)});
        }
        json!({
            "type": "identify", "userId": format!("u-{contact}"), "writeKey": self.account,
            "messageId": format!("{} {contact} {round}", self.account), "traits": traits,
        })
        .to_string()
    }

    fn round(&self, round: usize) -> impl Iterator<Item = String> {
        (0..self.contacts).map(move |contact| self.event(contact, round))
    }

    /// Every contact has the round's values, the links it should have and no others, and its own deal.
    fn check(&self, state: &Value, round: usize, formerly: impl Fn(usize) -> bool) {
        let account = self.account;
        let by_email = rows(state, "contacts").iter().map(|row| (row["email"].as_str().unwrap(), row));
        let by_email: BTreeMap<&str, &Value> = by_email.collect();
        assert_eq!(
            (by_email.len(), rows(state, "contacts").len()),
            (self.contacts, self.contacts),
            "{account}"
        );
        let mut deals: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
        for deal in rows(state, "deals") {
            let [contact] = &deal["contact_ids"].as_array().unwrap()[..] else {
                panic!("{account}: {deal} has not one contact")
            };
            deals.entry(contact.as_u64().unwrap()).or_default().push(deal);
        }
        let mut companies = BTreeSet::new();
        for contact in 0..self.contacts {
            let row = by_email[self.email(contact).as_str()];
            assert_eq!(row["external_id"], format!("u-{contact}"), "{account}");
            assert_eq!(row["last_name"], format!("Number {contact}"), "{account}");
            assert_eq!(row["custom_field"]["cf_alternate_number"], value(contact, round), "{account}");
            let linked = rows(row, "sales_accounts");
            let names: BTreeSet<String> =
                linked.iter().map(|link| link["name"].as_str().unwrap().to_owned()).collect();
            let former = formerly(contact).then(|| FORMER.to_owned());
            let wanted: BTreeSet<String> = self.company(contact).into_iter().chain(former).collect();
            assert_eq!(names, wanted, "{account}: the companies of contact {contact}");
            let primary: Vec<&Value> = linked.iter().filter(|link| link["is_primary"] == true).collect();
            assert_eq!(primary.len(), usize::from(!linked.is_empty()), "{account}: {linked:?}");
            if self.known {
                assert_eq!(
                    primary[0]["name"], FORMER,
                    "{account}: another company is added, and not put first"
                );
            }
            companies.extend(wanted);
            let own = deals.remove(&row["id"].as_u64().unwrap()).unwrap_or_default();
            if self.deal {
                let [deal] = own[..] else { panic!("{account}: contact {contact} has {own:?}") };
                assert_eq!(deal["name"], format!("Deal {contact}"), "{account}");
                assert_eq!(deal["amount"], amount(contact, round), "{account}");
                assert_eq!(deal["sales_account_id"], linked[0]["id"], "{account}");
            } else {
                assert!(own.is_empty(), "{account}");
            }
        }
        assert!(deals.is_empty(), "{account}");
        assert_eq!(rows(state, "sales_accounts").len(), companies.len(), "{account}: {companies:?}");
        assert_eq!(rows(state, "refusals"), &[] as &[Value], "{account}");
    }
}

fn value(contact: usize, round: usize) -> String {
    format!("{round} {contact}")
}

fn amount(contact: usize, round: usize) -> usize {
    round * 10_000 + contact
}

fn rows<'a>(state: &'a Value, key: &str) -> &'a [Value] {
    state[key].as_array().unwrap()
}

/// One line of the table: some events of one kind, and the requests they took.
struct Cost {
    traffic: &'static str,
    events: usize,
    /// Requests for 1000 events.
    bound: u64,
    requests: BTreeMap<String, u64>,
}

impl Cost {
    fn per_thousand(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let [calls, events] = [self.requests.values().sum::<u64>(), self.events as u64].map(|n| n as f64);
        calls * 1000.0 / events
    }
}

/// The requests of all accounts up to a moment.
struct Counted<'a> {
    world: &'a World,
    before: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

impl<'a> Counted<'a> {
    fn from_now(world: &'a World) -> Self {
        let before = KINDS.map(|kind| (kind.account, requests(&world.state(kind.account))));
        Self { world, before: before.into() }
    }

    /// What events of this kind took since then.
    fn cost(&self, kind: &Kind, traffic: &'static str, events: usize, bound: u64) -> Cost {
        let mut requests = requests(&self.world.state(kind.account));
        for (endpoint, count) in &self.before[kind.account] {
            *requests.get_mut(endpoint).unwrap() -= count;
        }
        requests.retain(|_, count| *count > 0);
        Cost { traffic, events, bound, requests }
    }
}

/// By endpoint. All must have been answered as they should.
fn requests(state: &Value) -> BTreeMap<String, u64> {
    let counts = state["requests"].as_object().unwrap().iter();
    let counted =
        counts.filter(|(endpoint, _)| !endpoint.ends_with("_fields") && !endpoint.starts_with("selector_"));
    let sum = |(endpoint, by_status): (&String, &Value)| {
        let by_status = by_status.as_object().unwrap();
        assert!(
            by_status.keys().all(|status| status == "200" || status == "201"),
            "{endpoint}: {by_status:?}"
        );
        (endpoint.clone(), by_status.values().map(|count| count.as_u64().unwrap()).sum())
    };
    counted.map(sum).collect()
}

fn table(costs: &[Cost]) -> String {
    let mut table =
        "| traffic | events | calls per 1000 | at most | calls |\n|---|---|---|---|---|\n".to_owned();
    for cost in costs {
        let calls: Vec<String> =
            cost.requests.iter().map(|(endpoint, n)| format!("{n} {endpoint}")).collect();
        let (traffic, events, bound) = (cost.traffic, cost.events, cost.bound);
        writeln!(
            table,
            "| {traffic} | {events} | {:.1} | {bound} | {} |",
            cost.per_thousand(),
            calls.join(", ")
        )
        .unwrap();
    }
    table
}

/// Another program writes to an account.
pub async fn by_another(world: &World, account: &str, path: &str, body: &Value) -> Value {
    freshet::tls::install_provider();
    let url = format!("http://{}{path}", world.at(account).address);
    let request = reqwest::Client::new().post(url).header("authorization", "Token token=another").json(body);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json().await.unwrap()
}

/// Another program links contacts to a company. `links` are those that each has by then.
async fn link_to_former(
    world: &World,
    kind: &Kind,
    contacts: std::ops::Range<usize>,
    links: impl Fn(usize) -> Vec<Value>,
) {
    let former = json!({"sales_account": {"name": FORMER}});
    let former = by_another(world, kind.account, "/api/sales_accounts", &former).await;
    let former = &former["sales_account"]["id"];
    for start in contacts.clone().step_by(100) {
        let record = |contact| {
            let mut links = links(contact);
            links.push(json!({"id": former, "is_primary": links.is_empty()}));
            json!({"emails": kind.email(contact), "data": {"sales_accounts": links}})
        };
        let records: Vec<Value> = (start..contacts.end.min(start + 100)).map(record).collect();
        by_another(world, kind.account, "/api/contacts/bulk_upsert", &json!({"contacts": records})).await;
    }
    soon("the other program's jobs have ended", async || {
        rows(&world.state(kind.account), "jobs").iter().all(|job| job["done"] == true)
    })
    .await;
}

/// Puts events where they wait until a replica takes the lane.
async fn put_in_lane(world: &World, kind: &Kind, round: usize) {
    let events = kind.round(round).map(|event| (event, BasicProperties::default()));
    world.publish_to(&world.lanes(), kind.account, events).await;
}

/// Events of which a tenth of a second's worth comes at a time.
async fn arrive_steadily(world: &World, kind: &Kind) {
    let events: Vec<String> = kind.round(1).collect();
    let mut ticks = interval(Duration::from_millis(100));
    for some in events.chunks(PACE / 10) {
        ticks.tick().await;
        world.publish_all(some.iter().cloned()).await;
    }
}

/// A replica with no more settings than it needs.
async fn start(world: &World) -> Freshet {
    let set = ["prefetch", "request_timeout", "shutdown_grace"];
    let is_set = |line: &&str| !set.iter().any(|key| line.starts_with(&format!("{key} = ")));
    let config: Vec<String> =
        world.config_at(world.vhost.url(), "one").lines().filter(is_set).map(str::to_owned).collect();
    let replica = Freshet::start(&config.join("\n"), &World::environment());
    replica.ready().await;
    replica
}

/// Ends a replica that has settled all it got.
async fn retire(world: &World, replica: Freshet) {
    world.settled(&[&replica]).await;
    assert_eq!(sum(&replica.get("/metrics").await.1, "freshet_receipts_dropped_total", &[]), 0);
    world.retire(replica).await;
}

#[expect(clippy::print_stdout, reason = "how long it takes is printed, not judged")]
fn told(text: &str) {
    println!("{text}");
}

fn took(what: &str, since: Instant) {
    told(&format!("{what}: {:.0?}", since.elapsed()));
}

#[tokio::test]
async fn events_cost_few_calls_and_no_link_is_lost() {
    let mut world = World::shared().await;
    for kind in KINDS {
        let options = Options {
            latency: Duration::from_millis(200),
            jobs: JobOptions {
                shortest: Duration::from_secs(1),
                longest: Duration::from_secs(8),
                ..JobOptions::default()
            },
            reads: ReadOptions { search_delay: Duration::from_secs(3), ..ReadOptions::default() },
            ..Options::default()
        };
        let settings = format!("write_keys = [\"{}\"]\n{}", kind.account, kind.settings);
        world = world.account_with(kind.account, &settings, options).await;
    }
    let mut costs = Vec::new();

    // The lanes must be there before events can wait in them.
    let began = Instant::now();
    let early = async { retire(&world, start(&world).await).await };
    tokio::join!(early, link_to_former(&world, &MOVED, 0..MOVED.contacts, |_| Vec::new()));
    took("before the first event", began);

    let (began, counted) = (Instant::now(), Counted::from_now(&world));
    for kind in [&BARE, &COMPANIES, &MOVED, &DOCUMENTED, &BY_NAME] {
        put_in_lane(&world, kind, 1).await;
    }
    let replica = start(&world).await;
    arrive_steadily(&world, &STEADY).await;
    world.settled(&[&replica]).await;
    took("the first round", began);
    for (kind, traffic, bound) in [
        (&BARE, "distinct contacts, all waiting", 25),
        (&STEADY, "distinct contacts, 200 a second", 25),
        (&COMPANIES, "new contacts, each with one of 50 companies", 60),
        (&MOVED, "known contacts of another company, each with one of 50", 60),
        (&DOCUMENTED, "contact, company and deal, all new (`contact`)", 1100),
        (&BY_NAME, "contact, company and deal, all new (`name`)", 130),
    ] {
        kind.check(&world.state(kind.account), 1, |_| kind.known);
        costs.push(counted.cost(kind, traffic, kind.contacts, bound));
    }

    let (began, counted) = (Instant::now(), Counted::from_now(&world));
    for kind in [&COMPANIES, &DOCUMENTED, &BY_NAME] {
        put_in_lane(&world, kind, 2).await;
    }
    world.settled(&[&replica]).await;
    took("the second round", began);
    for (kind, traffic, bound) in [
        (&COMPANIES, "known contacts with a known company", 25),
        (&DOCUMENTED, "contact, company and deal once more (`contact`)", 130),
        (&BY_NAME, "contact, company and deal once more (`name`)", 130),
    ] {
        kind.check(&world.state(kind.account), 2, |_| false);
        costs.push(counted.cost(kind, traffic, kind.contacts, bound));
    }

    let (began, counted) = (Instant::now(), Counted::from_now(&world));
    world.publish(BARE.event(0, 2)).await;
    world.settled(&[&replica]).await;
    costs.push(counted.cost(&BARE, "one event on an idle lane", 1, 1000));
    took("one event", began);
    retire(&world, replica).await;

    // What another program links in the meantime must be there in the end.
    let state = world.state(COMPANIES.account);
    let links = |contact: usize| {
        let row =
            rows(&state, "contacts").iter().find(|row| row["email"] == COMPANIES.email(contact)).unwrap();
        let links = rows(row, "sales_accounts").iter();
        links.map(|link| json!({"id": link["id"], "is_primary": link["is_primary"]})).collect()
    };
    link_to_former(&world, &COMPANIES, 0..100, links).await;
    let (began, counted) = (Instant::now(), Counted::from_now(&world));
    put_in_lane(&world, &COMPANIES, 3).await;
    let replica = start(&world).await;
    world.settled(&[&replica]).await;
    took("after a restart", began);
    COMPANIES.check(&world.state(COMPANIES.account), 3, |contact| contact < 100);
    let traffic = "known contacts with a known company, after a restart";
    costs.push(counted.cost(&COMPANIES, traffic, COMPANIES.contacts, 45));

    told(&table(&costs));
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let dear: Vec<&str> = costs
        .iter()
        .filter(|cost| cost.per_thousand() > cost.bound as f64)
        .map(|cost| cost.traffic)
        .collect();
    assert!(dear.is_empty(), "cost more than they may: {}\n{}", dear.join("; "), table(&costs));
    world.finish([replica]).await;
}
