//! The examples of the destination's documentation, as whole records.

use super::*;
use crate::object::ObjectText;

fn john(more: &Value) -> Value {
    let mut traits = json!({
        "firstName": "John", "lastName": "Doe", "email": "john.doe@example.com",
        "cfAlternateNumber": "98765432", "company": {"name": "Example.com"},
    });
    for (key, value) in more.as_object().unwrap() {
        traits[key] = value.clone();
    }
    json!({"type": "identify", "userId": "97980cfea0067", "traits": traits})
}

fn mapped(body: &Value) -> Mapped {
    map_body(&Mapper::new(MappingRules::default(), schema()), body).verdict.unwrap()
}

fn contact_of(body: &Value) -> ContactWrite {
    contact(map_body(&Mapper::new(MappingRules::default(), schema()), body))
}

/// The activity of an event, with its properties as they are sent.
fn activity(body: &Value) -> Value {
    match mapped(body) {
        Mapped::Track(track) => {
            json!({"identity": format!("{:?}", track.identity), "name": track.name, "properties": sent(&track.properties)})
        }
        Mapped::Page(page) => {
            let mut properties = sent(&page.properties);
            for (name, value) in page.added {
                properties[name] = json!(value);
            }
            json!({"identity": format!("{:?}", page.identity), "url": page.url, "properties": properties})
        }
        Mapped::Contact(_) => panic!("no activity"),
    }
}

fn sent(properties: &ObjectText) -> Value {
    serde_json::from_str(properties.as_str()).unwrap()
}

/// As JSON text: insta's own serializer does not know numbers of arbitrary precision.
fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn an_identify_with_a_company() {
    insta::assert_snapshot!(pretty(&contact_of(&john(&json!({})))), @r##"
    {
      "email": "john.doe@example.com",
      "user_id": "97980cfea0067",
      "record": {
        "fields": {
          "emails": "john.doe@example.com",
          "first_name": "John",
          "last_name": "Doe",
          "external_id": "97980cfea0067"
        },
        "custom_field": {
          "cf_alternate_number": "98765432"
        }
      },
      "company": {
        "name": "Example.com",
        "record": {
          "fields": {
            "name": "Example.com"
          },
          "custom_field": {}
        }
      },
      "deal": null
    }
    "##);
}

#[test]
fn an_identify_with_a_company_and_a_deal() {
    let Mapped::Contact(contact) = mapped(&john(&json!({"deal": {"name": "Sample Deal", "amount": 1234}})))
    else {
        panic!("no contact")
    };
    insta::assert_snapshot!(pretty(&contact.deal), @r##"
    {
      "name": "Sample Deal",
      "record": {
        "fields": {
          "name": "Sample Deal",
          "amount": 1234
        },
        "custom_field": {}
      }
    }
    "##);
    assert_eq!(contact.company.unwrap().name, "Example.com");
}

#[test]
fn a_track() {
    insta::assert_snapshot!(pretty(&activity(&json!({
        "type": "track", "userId": "John.Doe@example.com", "event": "Email Bounced",
        "properties": {"emailId": 1234, "emailSubject": "Hello", "campaignId": "c9", "campaignName": "Spring"},
    }))), @r##"
    {
      "identity": "Email(\"john.doe@example.com\")",
      "name": "Email Bounced",
      "properties": {
        "emailId": 1234,
        "emailSubject": "Hello",
        "campaignId": "c9",
        "campaignName": "Spring"
      }
    }
    "##);
}

#[test]
fn a_page() {
    insta::assert_snapshot!(pretty(&activity(&json!({
        "type": "page", "userId": "john.doe@example.com", "name": "Page view",
        "properties": {"title": "Pricing", "url": "https://example.com/pricing"},
    }))), @r##"
    {
      "identity": "Email(\"john.doe@example.com\")",
      "url": "https://example.com/pricing",
      "properties": {
        "title": "Pricing",
        "url": "https://example.com/pricing",
        "name": "Page view"
      }
    }
    "##);
}
