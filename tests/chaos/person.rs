//! A person who worked in the accounts before any event comes: contacts with links to companies, all of which must stay.

use reqwest::Client;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::model::Ledger;
use crate::settings::Settings;
use crate::world::{SECRET, Site, World};

/// Companies that the person makes in each account, and the most that one contact is linked to.
const COMPANIES: usize = 5;
const LINKS: usize = 3;

/// Makes contacts with links in every account, and hands them to the ledger for the producers to write about.
pub async fn work(world: &World, ledger: &mut Ledger, settings: &Settings) {
    // Fails only where there is one already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::new();
    let mut dice = Dice::of(settings.seed, u64::MAX);
    for (account, site) in world.sites.iter().enumerate() {
        let names: Vec<String> = (0..COMPANIES).map(|number| format!("Held {number}")).collect();
        let mut ids = Vec::new();
        for name in &names {
            let made = post(&client, site, "sales_accounts", json!({"sales_account": {"name": name}}));
            ids.push(made.await["sales_account"]["id"].clone());
        }
        let mut rows = Vec::new();
        for number in 0..2 * settings.contacts {
            let mut places: Vec<usize> = (0..COMPANIES).collect();
            dice.shuffle(&mut places);
            places.truncate(1 + dice.below(LINKS));
            let links: Vec<Value> = places
                .iter()
                .enumerate()
                .map(|(at, place)| json!({"id": ids[*place], "is_primary": at == 0}))
                .collect();
            let email =
                ledger.prepare(account, number % 4 == 0, places.iter().map(|place| names[*place].clone()));
            let data = json!({"emails": email, "sales_accounts": links});
            rows.push(json!({"unique_identifier": {"emails": email}, "contact": data}));
        }
        for row in rows {
            post(&client, site, "contacts/upsert", row).await;
        }
    }
}

/// One call to an account's API, not through the network that breaks.
async fn post(client: &Client, site: &Site, path: &str, body: Value) -> Value {
    let url = format!("http://{}/api/{path}", site.address);
    let call = client.post(url).header("authorization", format!("Token token={SECRET}"));
    let answer = call.json(&body).send().await.unwrap();
    let status = answer.status();
    let body = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {body}");
    serde_json::from_str(&body).unwrap()
}
