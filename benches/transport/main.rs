//! What the walk over incoming frames costs, beside what the client library's parser costs for the same frames.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "not all of the transport is measured")]
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it speaks to people")]
#![allow(clippy::disallowed_methods, reason = "real time is what is measured")]

mod broker;

use std::hint::black_box;
use std::time::{Duration, Instant};

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::{AMQPClass, basic};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

const MESSAGES: u64 = 2000;
const ROUNDS: usize = 30;

fn deliver(tag: u64) -> AMQPFrame {
    let deliver = basic::Deliver {
        consumer_tag: "worker-0 acme".into(),
        delivery_tag: tag,
        redelivered: false,
        exchange: "segment.events.lanes".into(),
        routing_key: "acme".into(),
    };
    AMQPFrame::Method(7, AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)))
}

fn header(tag: u64, body: usize) -> AMQPFrame {
    let mut headers = FieldTable::default();
    headers.insert("freshet-queued-at".into(), AMQPValue::LongLongInt(1_700_000_000_000));
    headers.insert("freshsales-account".into(), AMQPValue::LongString("acme".into()));
    headers
        .insert("traceparent".into(), AMQPValue::LongString("00-4bf92f3577b34da6a3ce929d0e0e4736-01".into()));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_message_id(format!("message-{tag}").into())
        .with_timestamp(1_700_000_000)
        .with_headers(headers);
    AMQPFrame::Header(7, AMQPContentHeader { class_id: 60, body_size: body as u64, properties })
}

fn conversation(body: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for tag in 1..=MESSAGES {
        for frame in [deliver(tag), header(tag, body), AMQPFrame::Body(7, vec![b'x'; body])] {
            bytes.extend(gen_frame(&frame)(WriteContext::from(Vec::new())).unwrap().into_inner().0);
        }
    }
    bytes
}

/// The shortest of some rounds.
fn shortest(mut round: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed()
    });
    rounds.min().expect("rounds")
}

fn main() {
    println!(
        "| body | frames parsed, per message | walked and copied, per message | ratio |\n|---|---|---|---|"
    );
    for body in [200, 1024, 16_384] {
        let bytes = conversation(body);
        let mut walked = Vec::with_capacity(bytes.len());
        let walk = shortest(|| broker::transport::walk(black_box(&bytes), &mut walked));
        assert_eq!(walked, bytes);
        let parse = shortest(|| {
            let mut rest = black_box(bytes.as_slice());
            while !rest.is_empty() {
                rest = parse_frame(rest).unwrap().0;
            }
        });
        let each = |time: Duration| time.as_nanos() / u128::from(MESSAGES);
        let ratio = walk.as_secs_f64() / parse.as_secs_f64();
        println!("| {body} | {} ns | {} ns | {:.3} |", each(parse), each(walk), ratio);
    }
}
