//! Choices that belong to a choice of another field, and owners by their addresses.

use super::*;
use crate::schema::{Selector, Selectors};

fn stages(deal_pipelines: &Value) -> Schema {
    let statuses =
        choices(&[("71", "New"), ("72", "Won"), ("81", "new"), ("82", "Lost"), ("91", "New"), ("99", "Odd")]);
    let lifecycle = choices(&[("7", "Lead"), ("8", "Contact"), ("9", "Customer")]);
    let owner = field("owner_id", "dropdown", &choices(&[("5", "Ada Doe")]));
    let contact = vec![
        plain("emails", "group_field"),
        plain("city", "text"),
        field("lifecycle_stage_id", "dropdown", &lifecycle),
        field("contact_status_id", "dropdown", &statuses),
        owner.clone(),
    ];
    let deal = vec![
        field("deal_pipeline_id", "dropdown", &choices(&[("1", "Sales"), ("2", "Renewals")])),
        field("deal_stage_id", "dropdown", deal_pipelines),
        owner,
    ];
    Schema {
        contact: Fields { fields: contact },
        sales_account: Fields::default(),
        deal: Fields { fields: deal },
    }
}

fn account() -> Schema {
    stages(&json!({"choices": [
        {"id": 11, "value": "New", "deal_pipeline_id": 1}, {"id": 12, "value": "Won", "deal_pipeline_id": "1"},
        {"id": 21, "value": "New", "deal_pipeline_id": 2}, {"id": 22, "value": "Lost", "deal_pipeline_id": 2},
        {"id": 31, "value": "Apart", "deal_pipeline_id": {}},
    ]}))
}

fn read() -> Selectors {
    let mut selectors = Selectors::default();
    for (selector, answer) in [
        (
            Selector::Owners,
            json!({"users": [{"id": 5, "email": "Ada@Acme.com"}, {"id": 6, "email": "bob@acme.com"}]}),
        ),
        (
            Selector::LifecycleStages,
            json!({"lifecycle_stages": [
                {"id": 7, "default": false, "contact_status_ids": [71, 72]},
                {"id": 8, "default": true, "contact_status_ids": ["81", 82]},
                {"id": 9, "default": false, "contact_status_ids": [91]},
            ]}),
        ),
        (Selector::DealPipelines, json!({"deal_pipelines": [{"id": 1}, {"id": 2, "is_default": true}]})),
    ] {
        assert!(selectors.read(selector, &answer));
    }
    selectors
}

fn mapped(rules: MappingRules, selectors: Selectors, traits: &Value) -> Mapping {
    let mut mapper = Mapper::new(rules, account());
    mapper.set_selectors(selectors);
    map_body(&mapper, &json!({"type": "identify", "userId": "ada@example.com", "traits": traits}))
}

fn status(traits: &Value) -> Result<Value, (String, String)> {
    settled(traits, |contact| contact.record.fields["contact_status_id"].clone())
}

fn stage(deal: &Value) -> Result<Value, (String, String)> {
    let mut deal = deal.clone();
    deal["name"] = json!("Big");
    settled(&json!({"deal": deal}), |contact| contact.deal.unwrap().record.fields["deal_stage_id"].clone())
}

fn settled(traits: &Value, wire: impl Fn(ContactWrite) -> Value) -> Result<Value, (String, String)> {
    let mapping = mapped(MappingRules::default(), read(), traits);
    assert_eq!(mapping.needs, [], "{traits}");
    match mapping.verdict {
        Ok(Mapped::Contact(contact)) => Ok(wire(*contact)),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => {
            assert_eq!(refusal.reason, DeadLetterReason::InvalidField);
            let problem = &refusal.problems[0];
            Err((problem.problem.clone(), problem.expected.clone().unwrap()))
        }
    }
}

#[test]
fn the_stage_decides_between_statuses_with_equal_labels() {
    for (traits, id) in [
        (json!({"contactStatus": "New", "lifecycleStage": "Lead"}), 71),
        (json!({"contact_status_id": "new", "lifecycleStageId": 7}), 71),
        (json!({"contactStatus": "NEW", "lifecycle_stage_id": "8"}), 81),
        (json!({"contactStatus": "New", "lifecycleStage": "Contact"}), 81),
        (json!({"lifecycleStage": "customer", "contactStatus": " new "}), 91),
        // The account's default stage decides where none is given.
        (json!({"contactStatus": "NEW"}), 81),
        // It does not matter where only one status has the label.
        (json!({"contactStatus": "Won"}), 72),
        // An id is sent unchanged, and so is a status whose stage is not known.
        (json!({"contactStatus": 82, "lifecycleStage": "Lead"}), 82),
        (json!({"contactStatus": "82", "lifecycleStage": "Lead"}), 82),
        (json!({"contactStatus": "Odd", "lifecycleStage": "Lead"}), 99),
    ] {
        assert_eq!(status(&traits), Ok(json!(id)), "{traits}");
    }
    let (problem, expected) =
        status(&json!({"contactStatus": "Lost", "lifecycleStage": "Lead"})).unwrap_err();
    assert_eq!(problem, "this choice belongs to another lifecycleStageId than the event's");
    assert_eq!(expected, "a choice that belongs to the event's lifecycleStageId");
    // The account has no default stage.
    let mut selectors = read();
    selectors.stages = Some(std::sync::Arc::new(crate::schema::Stages {
        default: None,
        ..(*selectors.stages.unwrap()).clone()
    }));
    let mapping =
        mapped(MappingRules::default(), selectors, &json!({"contactStatus": "New", "lifecycleStage": null}));
    assert_eq!(mapping.needs, []);
    let problem = refusal(mapping).problems.remove(0);
    assert_eq!(problem.problem, "several choices have this label");
    let expected = "a choice's id, or lifecycleStageId beside it to tell them apart";
    assert_eq!(problem.expected.as_deref(), Some(expected));
}

#[test]
fn the_pipeline_decides_between_deal_stages_with_equal_labels() {
    for (deal, id) in [
        (json!({"dealStage": "New", "dealPipeline": "Sales"}), 11),
        (json!({"dealStageId": "new", "deal_pipeline_id": 2}), 21),
        (json!({"dealStage": "New"}), 21),
        (json!({"dealStage": "Won"}), 12),
        (json!({"dealStage": 12, "dealPipeline": "Renewals"}), 12),
        (json!({"dealStage": "Apart", "dealPipeline": "Sales"}), 31),
    ] {
        assert_eq!(stage(&deal), Ok(json!(id)), "{deal}");
    }
    let (problem, _) = stage(&json!({"dealStage": "Won", "dealPipeline": "Renewals"})).unwrap_err();
    assert_eq!(problem, "this choice belongs to another deal.dealPipelineId than the event's");
}

#[test]
fn the_configured_default_counts_before_the_accounts() {
    let rules = MappingRules {
        defaults: PerEntity {
            deal: BTreeMap::from([("deal_pipeline_id".to_owned(), json!("Sales"))]),
            ..PerEntity::default()
        },
        ..MappingRules::default()
    };
    let traits = json!({"deal": {"name": "Big", "dealStage": "New"}});
    let mapping = mapped(rules, Selectors::default(), &traits);
    assert_eq!(mapping.needs, []);
    assert_eq!(contact(mapping).deal.unwrap().record.fields["deal_stage_id"], json!(11));
}

#[test]
fn owners_are_found_by_address_and_problems_do_not_repeat_it() {
    for (owner, id) in
        [(json!("ada@acme.com"), 5), (json!(" BOB@acme.com "), 6), (json!("Ada Doe"), 5), (json!(5), 5)]
    {
        let traits = json!({"owner": owner, "deal": {"name": "Big", "owner_id": owner}});
        let mapping = mapped(MappingRules::default(), read(), &traits);
        assert_eq!(mapping.needs, []);
        let contact = contact(mapping);
        assert_eq!(contact.record.fields["owner_id"], json!(id));
        assert_eq!(contact.deal.unwrap().record.fields["owner_id"], json!(id));
    }
    let mapping = mapped(MappingRules::default(), read(), &json!({"owner": "eve@acme.com"}));
    let refusal = refusal(mapping);
    assert_eq!(refusal.problems[0].expected.as_deref(), Some("an owner's e-mail address, id or name"));
    assert!(!format!("{refusal:?}").contains("eve"));
}

#[test]
fn a_selector_is_needed_only_where_it_decides() {
    let needs = |traits: &Value| mapped(MappingRules::default(), Selectors::default(), traits).needs;
    for traits in [
        json!({"city": "Oslo", "owner": "Ada Doe", "lifecycleStage": "Lead"}),
        json!({"contactStatus": "Won", "lifecycleStage": "Lead"}),
        json!({"contactStatus": 71, "owner": "Nobody"}),
        json!({"city": "ada@acme.com"}),
        json!({"deal": {"name": "Big", "dealStage": "New", "dealPipeline": 1}}),
    ] {
        assert_eq!(needs(&traits), [], "{traits}");
    }
    assert_eq!(needs(&json!({"owner": "ada@acme.com"})), [Selector::Owners]);
    assert_eq!(needs(&json!({"contactStatus": "New"})), [Selector::LifecycleStages]);
    assert_eq!(needs(&json!({"contactStatus": "new", "lifecycleStage": 7})), [Selector::LifecycleStages]);
    assert_eq!(needs(&json!({"deal": {"name": "Big", "dealStage": "New"}})), [Selector::DealPipelines]);
}

proptest! {
    #[test]
    fn a_status_by_label_belongs_to_the_stage_that_is_given(
        label in prop::sample::select(vec!["New", "new", "NEW", "Won", "Lost", "lost"]),
        given in prop::sample::select(vec![7, 8, 9]),
    ) {
        let traits = json!({"contactStatus": label, "lifecycleStage": given});
        if let Ok(id) = status(&traits) {
            let stages = read().stages.unwrap();
            prop_assert_eq!(stages.statuses.of(id.as_i64().unwrap()), Some(given));
        }
    }
}
