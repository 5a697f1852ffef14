//! What a letter costs, whatever is wrong with an event and whatever headers came with it.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::broker::amqp::{letter_properties, republished};
use crate::cost::stays_linear;
use crate::dead_letter::DeadLetter;
use crate::outcome::{DeadLetterReason, Problem, Refusal};
use crate::segment::Glimpse;

fn properties(headers: usize) -> BasicProperties {
    let mut table = FieldTable::default();
    for number in 0..headers {
        table.insert(format!("header-{number}").into(), AMQPValue::LongString("x".into()));
    }
    BasicProperties::default().with_headers(table)
}

fn dead<'a>(refusal: &'a Refusal, seen: &'a Glimpse) -> DeadLetter<'a> {
    DeadLetter { refusal, account: None, seen, attempts: 0, failed_at: Timestamp::UNIX_EPOCH }
}

#[test]
fn a_letter_about_many_problems_costs_no_square() {
    let refusal = |bytes: usize| {
        let problem = |number| Problem {
            trait_path: Some(format!("cf_{number}")),
            problem: "no such field".into(),
            ..Problem::default()
        };
        let problems = (0..bytes / 26).map(problem).collect();
        Refusal { reason: DeadLetterReason::UnknownCustomField, problems, http_status: None }
    };
    let original = BasicProperties::default();
    stays_linear("problems", refusal, |refusal| {
        drop(letter_properties::for_dead_letter(&original, &dead(refusal, &Glimpse::default())));
    });
}

#[test]
fn a_copy_with_many_headers_costs_no_square() {
    // Some 25 bytes each; beyond what a frame holds they are left out.
    stays_linear(
        "headers",
        |bytes| properties(bytes / 25),
        |original| {
            let refusal = Refusal::new(DeadLetterReason::InvalidEvent, Problem::default());
            drop(republished::for_lane(original.clone(), Timestamp::UNIX_EPOCH));
            drop(letter_properties::for_dead_letter(original, &dead(&refusal, &Glimpse::default())));
        },
    );
}
