//! What `?include=` adds to records, and the deals of a contact.

use freshet::sandbox::{IncludedDeals, Options, ReadOptions};
use serde_json::{Value, json};

use crate::account::{Account, list};

/// A contact with two deals, and another contact with a third of the same name: the first contact's id, and all deals.
async fn with_deals(account: &Account) -> (u64, Vec<u64>) {
    let mut contacts = Vec::new();
    for email in ["ada@example.com", "eve@example.com"] {
        let body = account.upsert(email, json!({"owner_id": 402_000_000_101_u64})).await.1;
        contacts.push(body["contact"]["id"].as_u64().unwrap());
    }
    let sales_account = account.sales_account("Northwind").await;
    let mut deals = Vec::new();
    for contact in [contacts[0], contacts[0], contacts[1]] {
        let deal = json!({"name": "Renewal", "amount": 5, "sales_account_id": sales_account, "contacts_added_list": [contact]});
        let (status, body) = account.post("/api/deals", json!({"deal": deal})).await;
        assert_eq!(status, 200, "{body}");
        deals.push(body["deal"]["id"].as_u64().unwrap());
    }
    deals.sort_unstable();
    deals.dedup();
    assert_eq!(deals.len(), 3, "an existing name makes another deal");
    (contacts[0], deals)
}

fn ids(rows: &Value) -> Vec<u64> {
    list(rows).iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_contacts_deals_are_inside_it_or_beside_it_or_nowhere() {
    let account = Account::start().await;
    let (contact, deals) = with_deals(&account).await;
    let mine = deals[..2].to_vec();
    let read = format!("/api/contacts/{contact}?include=sales_accounts,deals,owner,tasks");
    let upsert = json!({"unique_identifier": {"emails": "ada@example.com"}, "contact": {}});
    for place in ["inside", "beside", "absent"] {
        assert_eq!(account.put("/_sandbox/options", json!({"included_deals": place})).await.0, 200);
        let upserted = account.post("/api/contacts/upsert?include=deals", upsert.clone()).await;
        let put =
            account.put(&format!("/api/contacts/{contact}?include=deals"), json!({"contact": {}})).await;
        for (status, body) in [account.get(&read).await, upserted, put] {
            assert_eq!(status, 200, "{body}");
            let contact = &body["contact"];
            match place {
                "inside" => {
                    assert_eq!((ids(&contact["deals"]), body.get("deals")), (mine.clone(), None));
                    assert_eq!(contact["deals"][0]["name"], "Renewal");
                }
                "beside" => {
                    assert_eq!((ids(&body["deals"]), contact.get("deals")), (mine.clone(), None));
                    assert_eq!(contact["deal_ids"], json!(mine));
                }
                _ => assert_eq!((contact.get("deals"), body.get("deals")), (None, None)),
            }
        }
        let body = account.get(&read).await.1;
        assert_eq!(body["contact"]["sales_accounts"], json!([]));
        assert_eq!(body["contact"]["owner"]["email"], "ines.hallstrom@example.com");
    }
    assert!(account.get(&format!("/api/contacts/{contact}")).await.1["contact"].get("deals").is_none());
    account.stop().await;
}

#[tokio::test]
async fn a_contacts_deals_follow_what_is_added_and_removed() {
    let account = Account::start().await;
    let (contact, deals) = with_deals(&account).await;
    let read = format!("/api/contacts/{contact}?include=deals");
    let mine = async || ids(&account.get(&read).await.1["contact"]["deals"]);
    let change = |key: &str| json!({"deal": {key: [contact]}});
    account.put(&format!("/api/deals/{}", deals[0]), change("contacts_removed_list")).await;
    assert_eq!(mine().await, [deals[1]]);
    account.put(&format!("/api/deals/{}", deals[2]), change("contacts_added_list")).await;
    assert_eq!(mine().await, [deals[1], deals[2]]);
    account.send(reqwest::Method::DELETE, &format!("/api/deals/{}", deals[1]), None).await;
    assert_eq!(mine().await, [deals[2]]);
    account.send(reqwest::Method::DELETE, &format!("/api/contacts/{contact}"), None).await;
    let left = account.get(&format!("/api/deals/{}?include=contacts", deals[2])).await.1;
    assert_eq!(list(&left["deal"]["contacts"]).len(), 1, "the other contact is still its own");
    account.stop().await;
}

#[tokio::test]
async fn a_deal_shows_its_contacts_and_its_sales_account_when_asked() {
    let account = Account::start().await;
    let (contact, deals) = with_deals(&account).await;
    let path = format!("/api/deals/{}", deals[0]);
    let plain = account.get(&path).await.1["deal"].clone();
    assert_eq!((plain.get("contacts"), plain.get("sales_account")), (Some(&json!([])), None));
    let deal = account.get(&format!("{path}?include=contacts,sales_account")).await.1["deal"].clone();
    assert_eq!(deal["contacts"][0]["id"], contact);
    assert_eq!(deal["sales_account"]["name"], "Northwind");
    account.stop().await;
}

#[tokio::test]
async fn an_upsert_by_a_name_that_several_deals_have_changes_the_oldest() {
    let account = Account::start().await;
    let (_, deals) = with_deals(&account).await;
    let upsert = json!({"unique_identifier": {"name": "RENEWAL"}, "deal": {"amount": 9}});
    let (status, body) = account.post("/api/deals/upsert", upsert).await;
    assert_eq!((status, &body["deal"]["id"]), (200, &json!(deals[0])));
    account.stop().await;
}

#[tokio::test]
async fn an_account_can_be_started_with_deals_beside_contacts() {
    let account = Account::with(Options {
        reads: ReadOptions { included_deals: IncludedDeals::Beside, ..ReadOptions::default() },
        ..Options::default()
    })
    .await;
    let body = account.upsert("a@example.com", json!({})).await.1;
    let read = format!("/api/contacts/{}?include=deals", body["contact"]["id"]);
    assert_eq!(account.get(&read).await.1["deals"], json!([]));
    account.stop().await;
}
