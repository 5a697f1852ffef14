//! The lists behind drop-downs, and choices that belong to other choices.

use serde_json::{Value, json};

use crate::account::{Account, field, list, messages};

async fn rows(account: &Account, selector: &str, key: &str) -> Vec<Value> {
    let (status, body) = account.get(&format!("/api/selector/{selector}")).await;
    assert_eq!(status, 200, "{selector}");
    list(&body[key]).clone()
}

fn named(rows: &[Value], name: &str) -> Vec<Value> {
    rows.iter().filter(|row| row["name"] == name).map(|row| row["id"].clone()).collect()
}

#[tokio::test]
async fn selectors_list_the_choices_of_their_fields() {
    let account = Account::start().await;
    let owners = rows(&account, "owners", "users").await;
    assert_eq!(owners[1]["email"], "tomas.okafor@example.com");
    assert_eq!(owners[1]["display_name"], "Tomás Okafor");
    let contacts = account.get("/api/settings/contacts/fields").await.1;
    let deals = account.get("/api/settings/deals/fields").await.1;
    for (selector, fields, name) in [
        ("lead_sources", &contacts, "lead_source_id"),
        ("contact_statuses", &contacts, "contact_status_id"),
        ("territories", &contacts, "territory_id"),
        ("deal_pipelines", &deals, "deal_pipeline_id"),
        ("deal_stages", &deals, "deal_stage_id"),
        ("deal_types", &deals, "deal_type_id"),
        ("currencies", &deals, "currency_id"),
    ] {
        let choices = list(&field(fields, name)["choices"]);
        let labels: Vec<_> = choices.iter().map(|choice| &choice["value"]).collect();
        let rows = rows(&account, selector, selector).await;
        assert_eq!(rows.iter().map(|row| &row["name"]).collect::<Vec<_>>(), labels, "{selector}");
        assert!(rows.iter().all(|row| row["id"].is_u64()), "{selector}");
    }
    for word in ["business_types", "campaigns", "deal_payment_statuses", "deal_reasons", "industry_types"] {
        rows(&account, word, word).await;
    }
    for word in ["sales_activity_types", "sales_activity_outcomes"] {
        rows(&account, word, word).await;
    }
    assert_eq!(account.get("/api/selector/unicorns").await.0, 404);
    let stages = rows(&account, "deal_stages", "deal_stages").await;
    let new: Vec<_> = stages.iter().filter(|row| row["name"] == "New").collect();
    assert_eq!(new.len(), 2);
    assert_ne!(new[0]["deal_pipeline_id"], new[1]["deal_pipeline_id"], "told apart by their pipeline");
    account.stop().await;
}

#[tokio::test]
async fn a_selector_can_be_replaced_until_a_reset() {
    let account = Account::start().await;
    let owners = json!({"users": [{"id": 1, "email": "x@example.com", "display_name": "X"}]});
    assert_eq!(account.put("/_sandbox/selectors/owners", owners.clone()).await, (200, owners.clone()));
    assert_eq!(account.get("/api/selector/owners").await.1, owners);
    assert_eq!(account.put("/_sandbox/selectors/owners", json!({"owners": []})).await.0, 400);
    assert_eq!(account.put("/_sandbox/selectors/unicorns", json!({"unicorns": []})).await.0, 400);
    account.sandbox.reset();
    assert_eq!(rows(&account, "owners", "users").await.len(), 2);
    account.stop().await;
}

#[tokio::test]
async fn a_contact_status_belongs_to_the_lifecycle_stage_in_the_body_or_in_the_record() {
    const WRONG: [&str; 1] = ["Invalid contact status provided."];
    let account = Account::start().await;
    let stages = rows(&account, "lifecycle_stages", "lifecycle_stages").await;
    let statuses = rows(&account, "contact_statuses", "contact_statuses").await;
    let stage = |name: &str| named(&stages, name).remove(0);
    let (lead, customer) = (stage("Lead"), stage("Customer"));
    let [new_lead, new_sql] = <[Value; 2]>::try_from(named(&statuses, "New")).unwrap();
    let won = named(&statuses, "Won").remove(0);
    let status = |id: &Value| json!({"contact_status_id": id});

    let refused = account.upsert("a@example.com", status(&won)).await;
    assert_eq!(messages(&refused), WRONG, "alone on a new contact: judged against the default stage");
    assert_eq!(account.sandbox.state()["contacts"], json!([]), "the whole contact");
    assert_eq!(account.upsert("a@example.com", status(&new_lead)).await.0, 201);
    let both = json!({"lifecycle_stage_id": customer, "contact_status_id": won});
    assert_eq!(account.upsert("a@example.com", both).await.0, 200);
    assert_eq!(
        messages(&account.upsert("a@example.com", status(&new_lead)).await),
        WRONG,
        "the record's stage"
    );
    let both = json!({"lifecycle_stage_id": lead, "contact_status_id": new_sql, "city": "Oslo"});
    assert_eq!(messages(&account.upsert("a@example.com", both).await), WRONG);
    let (_, body) = account.upsert("a@example.com", json!({"lifecycle_stage_id": lead})).await;
    assert_eq!(body["contact"]["contact_status_id"], new_lead, "a stage alone brings its first status");
    assert_eq!(account.upsert("a@example.com", json!({"city": "Oslo"})).await.0, 200);

    let open = json!({"lifecycle_stages": [{"id": lead, "name": "Lead", "contact_status_ids": [won]}]});
    assert_eq!(account.put("/_sandbox/selectors/lifecycle_stages", open).await.0, 200);
    assert_eq!(account.upsert("a@example.com", status(&won)).await.0, 200, "as the selector says");
    account.stop().await;
}

#[tokio::test]
async fn a_deal_stage_belongs_to_the_pipeline_in_the_body_or_in_the_record() {
    const WRONG: [&str; 1] = ["Invalid deal stage provided."];
    let account = Account::start().await;
    let pipelines = rows(&account, "deal_pipelines", "deal_pipelines").await;
    let stages = rows(&account, "deal_stages", "deal_stages").await;
    let renewals = named(&pipelines, "Renewals").remove(0);
    let [new, renewal] = <[Value; 2]>::try_from(named(&stages, "New")).unwrap();
    let deal = |fields: Value| {
        let mut deal = json!({"name": "D", "amount": 1});
        deal.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"unique_identifier": {"name": "D"}, "deal": deal})
    };
    let upsert = async |fields: Value| account.post("/api/deals/upsert", deal(fields)).await;
    assert_eq!(messages(&upsert(json!({"deal_stage_id": renewal})).await), WRONG, "the first pipeline's");
    assert_eq!(upsert(json!({"deal_stage_id": new})).await.0, 201);
    let both = json!({"deal_pipeline_id": renewals, "deal_stage_id": new});
    assert_eq!(messages(&upsert(both).await), WRONG);
    let (_, body) = upsert(json!({"deal_pipeline_id": renewals})).await;
    assert_eq!(body["deal"]["deal_stage_id"], renewal, "a pipeline alone brings its first stage");
    assert_eq!(messages(&upsert(json!({"deal_stage_id": new})).await), WRONG, "the record's pipeline");
    account.stop().await;
}

#[tokio::test]
async fn no_choice_is_refused_without_metadata_that_says_where_it_belongs() {
    let account = Account::start().await;
    let choices = |ids: [u64; 2]| ids.map(|id| json!({"id": id, "value": format!("C{id}")}));
    let dropdown = |name: &str, ids| json!({"name": name, "type": "dropdown", "choices": choices(ids)});
    let emails = json!({"name": "emails", "type": "group_field"});
    let contacts = [dropdown("lifecycle_stage_id", [1, 2]), dropdown("contact_status_id", [3, 4]), emails];
    assert_eq!(account.put("/_sandbox/fields/contacts", json!({"fields": contacts})).await.0, 200);
    let deals = [dropdown("deal_pipeline_id", [1, 2]), dropdown("deal_stage_id", [3, 4])];
    assert_eq!(account.put("/_sandbox/fields/deals", json!({"fields": deals})).await.0, 200);
    for (parent, child) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
        let contact = json!({"lifecycle_stage_id": parent, "contact_status_id": child});
        assert!(account.upsert("a@example.com", contact).await.0 < 300);
        let deal = json!({"deal_pipeline_id": parent, "deal_stage_id": child});
        assert_eq!(account.post("/api/deals", json!({"deal": deal})).await.0, 200);
    }
    account.stop().await;
}
