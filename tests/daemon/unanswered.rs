//! What RabbitMQ owes and does not give: deliveries, confirms, answers; and what it refuses.

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use serde_json::{Value, json};

use crate::events::{arrived, assert_exact, stream, track};
use crate::faults::{shows, slow};
use crate::support::{Broker, Freshet, delete, soon};
use crate::world::World;

/// Runs Erlang on the shared broker, with `Leader` bound to the process that leads a queue.
pub async fn at_leader(world: &World, queue: &str, erlang: &str) -> String {
    let vhost = &world.vhost.name;
    let lookup = format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{vhost}\">>, queue, <<\"{queue}\">>)), \
         Leader = amqqueue:get_pid(Q), {erlang}."
    );
    Broker::shared().await.control(&["eval", &lookup]).await
}

/// Grants a queue how many more messages its active consumer may have, whatever its prefetch.
async fn allow(world: &World, queue: &str, messages: usize) {
    let keys = "{ok, {_, Keys}, _} = ra:local_query(Leader, fun(State) -> \
        lists:append([maps:keys(Map) || Map <- tuple_to_list(State), is_map(Map), \
                      [Consumer | _] <- [maps:values(Map)], is_tuple(Consumer), element(1, Consumer) =:= consumer]) end)";
    let allow = format!("rabbit_fifo:make_credit(Key, {messages}, 0, false)");
    let each = format!("[ra:process_command(Leader, {allow}) || Key <- Keys], length(Keys)");
    let consumers = at_leader(world, queue, &format!("{keys}, {each}")).await;
    assert_eq!(consumers.trim(), "1", "{queue} has one consumer");
}

#[tokio::test]
async fn a_subscription_that_the_broker_forgot_is_made_anew_by_whom_it_belonged_to() {
    let world = World::with_acme().await;
    let replicas = [world.start("one").await, world.start("two").await];
    world.subscribed(2).await;
    world.publish(track(0, 0).to_string()).await;
    world.settled(&[&replicas[0], &replicas[1]]).await;
    let delivered = "freshet_events_delivered_total{account=\"acme\",type=\"track\"}";
    let [one, two] = &replicas;
    let (holder, other) = if one.metric(delivered).await == 1.0 { (one, two) } else { (two, one) };
    for queue in [world.queue(), world.lane("acme")] {
        // As if it had all that it may have, which the queue believes when it lost track of acknowledgements.
        allow(&world, &queue, 0).await;
    }
    world.publish(track(0, 1).to_string()).await;
    // As somebody does who knows the account.
    world.publish_to("", &world.lane("acme"), [(track(1, 0).to_string(), BasicProperties::default())]).await;
    world.settled(&[holder, other]).await;
    let log = holder.log();
    assert!(log.contains("messages wait and none is handed out here"), "{log}");
    assert_eq!(world.state("acme")["activities"].as_array().unwrap().len(), 3);
    assert_eq!(holder.metric(delivered).await, 3.0, "the other one knows nothing of what was settled");
    for replica in &replicas {
        assert_eq!(replica.metric("freshet_broker_reconnects_total").await, 0.0);
    }
    world.finish(replicas).await;
}

#[tokio::test]
async fn a_broker_that_hands_out_more_than_was_asked_for_does_no_harm() {
    const EVENTS: usize = 100;
    let mut world = World::shared().await.account_with("acme", "", slow()).await;
    world.prefetch = 5;
    let replica = world.start("one").await;
    world.subscribed(1).await;
    allow(&world, &world.lane("acme"), EVENTS).await;
    world.publish_all((0..EVENTS).map(|contact| track(contact, 0).to_string())).await;
    world.settled(&[&replica]).await;
    assert_eq!(world.state("acme")["activities"].as_array().unwrap().len(), EVENTS);
    world.finish([replica]).await;
}

/// The most messages of this world that one channel has published without a confirm.
async fn unconfirmed_on_a_channel(world: &World) -> usize {
    let listed = Broker::shared().await.control(&["list_channels", "vhost", "messages_unconfirmed"]).await;
    let rows = listed.lines().filter_map(|line| line.split_once('\t'));
    let of_world = rows.filter(|(vhost, _)| *vhost == world.vhost.name);
    of_world.filter_map(|(_, count)| count.trim().parse().ok()).max().unwrap_or_default()
}

async fn two_accounts() -> World {
    World::shared().await.account("acme", "").await.account("globex", "").await
}

/// Puts events on the intake, each for both accounts.
async fn publish_to_both(world: &World, events: impl IntoIterator<Item = Value>) {
    let addressed = events.into_iter().flat_map(|event| {
        ["acme", "globex"].map(|account| {
            let mut headers = lapin::types::FieldTable::default();
            headers.insert("freshsales-account".into(), AMQPValue::LongString(account.into()));
            (event.to_string(), BasicProperties::default().with_headers(headers))
        })
    });
    world.publish_to("", &world.queue(), addressed).await;
}

fn activities(world: &World, account: &str) -> usize {
    world.state(account)["activities"].as_array().unwrap().len()
}

/// Nothing was done twice, and no channel was given up on the way.
async fn assert_undisturbed(world: &World, replica: &Freshet) {
    for account in ["acme", "globex"] {
        for series in [
            format!("freshet_events_returned_total{{account=\"{account}\"}}"),
            format!("freshet_events_skipped_total{{account=\"{account}\",reason=\"duplicate\"}}"),
        ] {
            assert_eq!(replica.metric(&series).await, 0.0, "{series}");
        }
    }
    assert!(!replica.log().contains("a channel broke"), "{}: {}", world.queue(), replica.log());
}

#[tokio::test]
async fn a_lane_that_is_full_holds_back_nobody_else_and_is_filled_as_it_empties() {
    const EVENTS: usize = 200;
    let mut world = two_accounts().await;
    world.prefetch = 10;
    let arguments = [
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-max-length", AMQPValue::LongLongInt(20)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    world.amqp.declare_quorum(&world.lane("acme"), &arguments).await;
    world.fault("acme", json!([{"endpoint": "*", "action": {"hang": true}}])).await;
    let replica = world.start("one").await;
    // A queue still takes what is on its way when it reports that it is full.
    publish_to_both(&world, (0..EVENTS / 4).map(|contact| track(contact, 0))).await;
    soon("it is full", async || world.amqp.depth(&world.lane("acme")).await >= Some(20)).await;
    publish_to_both(&world, (EVENTS / 4..EVENTS).map(|contact| track(contact, 0))).await;
    soon("the other account's events arrive", async || activities(&world, "globex") == EVENTS).await;
    let stalled = "freshet_broker_stalled{reason=\"lane\"}";
    shows(&replica, stalled, 1.0).await;
    assert_eq!(replica.get("/readyz").await.0, 200, "one account's lane");

    let (status, body) = delete(world.at("acme").address, "/_sandbox/faults").await.unwrap();
    assert_eq!(status, 200, "{body}");
    world.settled(&[&replica]).await;
    assert_eq!(activities(&world, "acme"), EVENTS);
    shows(&replica, stalled, 0.0).await;
    assert_undisturbed(&world, &replica).await;
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_lane_that_nothing_leads_to_any_more_loses_nothing() {
    const EVENTS: usize = 100;
    const ROUNDS: usize = 3;
    let world = two_accounts().await;
    let replica = world.start("one").await;
    for round in 0..ROUNDS {
        let (lane, lanes) = (world.lane("acme"), world.lanes());
        let channel = world.amqp.channel().await;
        let nothing = lapin::types::FieldTable::default();
        channel
            .queue_unbind(lane.as_str().into(), lanes.as_str().into(), "acme".into(), nothing)
            .await
            .unwrap();
        // RabbitMQ returns each of the one account's events, and that does not tell which it returns.
        publish_to_both(&world, (0..EVENTS).map(|contact| track(round * EVENTS + contact, 0))).await;
        soon("all arrive", async || {
            let arrived = ["acme", "globex"].map(|account| activities(&world, account));
            if arrived == [(round + 1) * EVENTS; 2] { Ok(()) } else { Err(format!("{arrived:?}")) }
        })
        .await;
    }
    world.fenced(&[&replica]).await;
    let repeated = "freshet_events_skipped_total{account=\"globex\",reason=\"duplicate\"}";
    assert_eq!(replica.metric(repeated).await, 0.0, "the other account's events");
    assert!(!replica.log().contains("a channel broke"), "{}", replica.log());
    world.finish([replica]).await;
}

#[tokio::test]
async fn dead_letters_that_find_no_room_hold_back_only_their_own_events() {
    const EVENTS: usize = 20;
    let world = two_accounts().await;
    let arguments = [
        ("x-max-length", AMQPValue::LongLongInt(5)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    world.amqp.declare_quorum(&world.dead(), &arguments).await;
    let replica = world.start("one").await;
    let refused =
        |number| json!({"type": "track", "userId": "a@example.com", "event": "", "messageId": number});
    for number in 0..EVENTS {
        publish_to_both(&world, [refused(number.to_string()), track(number, 0)]).await;
    }
    for account in ["acme", "globex"] {
        soon("all others arrive", async || activities(&world, account) == EVENTS).await;
    }
    let stalled = "freshet_broker_stalled{reason=\"dead_letters\"}";
    shows(&replica, stalled, 1.0).await;
    assert_eq!(replica.get("/readyz").await.0, 200);

    let mut letters = Vec::new();
    soon("room for a few at a time brings all of them", async || {
        letters.append(&mut world.amqp.take_all(&world.dead()).await);
        if letters.len() >= 2 * EVENTS { Ok(()) } else { Err(format!("{} letters", letters.len())) }
    })
    .await;
    world.settled(&[&replica]).await;
    assert_eq!(letters.len(), 2 * EVENTS, "each once");
    shows(&replica, stalled, 0.0).await;
    assert_undisturbed(&world, &replica).await;
    world.finish([replica]).await;
}

#[tokio::test]
async fn a_lane_whose_leader_answers_nothing_holds_back_nobody_else() {
    // More than RabbitMQ lets a channel have unanswered, and fewer than the router holds.
    const CONTACTS: usize = 40;
    const ROUNDS: usize = 5;
    let world = two_accounts().await;
    let first = world.start("one").await;
    publish_to_both(&world, stream(CONTACTS, 0, 1)).await;
    world.settled(&[&first]).await;
    let lane = world.lane("acme");
    at_leader(&world, &lane, "sys:suspend(element(1, Leader))").await;

    publish_to_both(&world, stream(CONTACTS, 1, ROUNDS - 1)).await;
    soon("the other account's events arrive", async || activities(&world, "globex") == CONTACTS * ROUNDS)
        .await;
    let stalled = "freshet_broker_stalled{reason=\"lane\"}";
    shows(&first, stalled, 1.0).await;
    // Its subscription is not answered, and not waited for without an end.
    let second = world.start("two").await;
    // What the lane does not confirm is sent once more in time: it may be lost.
    let logged = [
        (&second, format!("has not let anyone subscribe to {lane}")),
        (&first, "what the queue may have missed is sent once more".to_owned()),
    ];
    for (replica, line) in &logged {
        soon(line, async || {
            let log = replica.log();
            if log.contains(line) { Ok(()) } else { Err(log) }
        })
        .await;
    }
    assert_eq!(activities(&world, "acme"), CONTACTS);

    at_leader(&world, &lane, "sys:resume(element(1, Leader))").await;
    world.fenced(&[&first, &second]).await;
    assert_exact(&world.state("acme"), CONTACTS, ROUNDS);
    assert_exact(&world.state("globex"), CONTACTS, ROUNDS);
    world.finish([first, second]).await;
}

#[tokio::test]
async fn a_lane_that_stops_while_it_has_a_channel_of_its_own_holds_back_nobody_else() {
    const TRACKS: usize = 1500;
    /// More than RabbitMQ reads ahead of a channel that it does not let go on.
    const OTHERS: usize = 600;
    const ON_A_SHARED_CHANNEL: usize = 24;
    let world = two_accounts().await;
    // So that the lane still holds events when it is stopped.
    world.fault("acme", json!([{"endpoint": "*", "action": {"delay_ms": 2500}}])).await;
    let replica = world.start("one").await;
    world.subscribed(1).await;
    let lane = world.lane("acme");
    // In the broker, because nobody else could stop it in time.
    let stop = "Stop = fun Again() -> \
        {ok, {_, Held}, _} = ra:local_query(Leader, fun rabbit_fifo:query_messages_total/1), \
        if Held < 300 -> timer:sleep(1), Again(); true -> sys:suspend(element(1, Leader)) end end, spawn(Stop)";
    at_leader(&world, &lane, stop).await;
    let events: Vec<Value> = (0..TRACKS).map(|number| track(number % 10, number / 10)).collect();
    let mut headers = lapin::types::FieldTable::default();
    headers.insert("freshsales-account".into(), AMQPValue::LongString("acme".into()));
    let batch = (json!({"batch": events}).to_string(), BasicProperties::default().with_headers(headers));
    world.publish_to("", &world.queue(), [batch]).await;
    world.expect(TRACKS as u64 - 1);
    soon("more are on their way than on a shared channel", async || {
        let unconfirmed = unconfirmed_on_a_channel(&world).await;
        if unconfirmed > ON_A_SHARED_CHANNEL { Ok(()) } else { Err(format!("{unconfirmed}")) }
    })
    .await;
    delete(world.at("acme").address, "/_sandbox/faults").await.unwrap();

    let others = (0..OTHERS).map(|contact| {
        let mut headers = lapin::types::FieldTable::default();
        headers.insert("freshsales-account".into(), AMQPValue::LongString("globex".into()));
        (track(contact, 0).to_string(), BasicProperties::default().with_headers(headers))
    });
    world.publish_to("", &world.queue(), others).await;
    soon("the other account's events arrive", async || {
        let arrived = activities(&world, "globex");
        if arrived == OTHERS { Ok(()) } else { Err(format!("{arrived}")) }
    })
    .await;
    assert!(activities(&world, "acme") < TRACKS);

    at_leader(&world, &lane, "sys:resume(element(1, Leader))").await;
    world.settled(&[&replica]).await;
    let wanted: Vec<u64> = (0..TRACKS as u64 / 10).collect();
    for (contact, numbers) in arrived(&world.state("acme")) {
        assert_eq!(numbers, wanted, "{contact}");
    }
    assert_undisturbed(&world, &replica).await;
    world.finish([replica]).await;
}
