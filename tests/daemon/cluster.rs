//! A cluster of three nodes, of which any one may be missing; and what happens when two are.

use std::fmt::Write as _;
use std::time::Duration;

use freshet::sandbox::Options;
use serde_json::Value;

use crate::events::{addressed, repeats, stream};
use crate::faults::shows;
use crate::replicas::preferred;
use crate::support::{Amqp, Broker, Freshet, Proxy, Settings, soon};
use crate::world::World;

const CONTACTS: usize = 10;
/// Published in each phase before the fault, and as many again while it lasts.
const ROUNDS: usize = 5;

/// Two replicas, an account for each, and a cluster whose second and third node they reach through proxies.
struct Stage {
    broker: Broker,
    /// On the first node, which the test itself is connected to.
    world: World,
    proxies: Vec<Proxy>,
    replicas: Vec<Freshet>,
    accounts: Vec<String>,
    /// Rounds published so far.
    published: usize,
    faults: usize,
}

impl Stage {
    async fn set() -> Self {
        // Noticing a silent peer takes a minute otherwise; a node that stood still comes back by itself this way.
        let config = "net_ticktime = 8\ncluster_partition_handling = pause_minority\n".to_owned();
        let broker = Broker::private_with(Settings { nodes: 3, config, ..Settings::default() }).await;
        let mut world = World::on(broker.vhost().await).await;
        world.prefetch = 16;
        let names = ["one", "two"];
        let candidates = ["acme", "globex", "initech", "hooli", "umbrella", "stark"];
        let accounts = names.map(|name| {
            (*candidates.iter().find(|account| preferred(&names, account) == name).unwrap()).to_owned()
        });
        for account in &accounts {
            let options = Options { latency: Duration::from_millis(50), ..Options::default() };
            world = world.account_with(account, &format!("write_keys = [\"{account}\"]"), options).await;
        }
        let mut proxies = Vec::new();
        for node in 0..3 {
            proxies.push(Proxy::to(&format!("127.0.0.1:{}", broker.node(node).amqp.number)).await);
        }
        let accounts = accounts.into();
        let mut stage =
            Self { broker, world, proxies, replicas: Vec::new(), accounts, published: 0, faults: 0 };
        for (name, nodes) in names.into_iter().zip([[1, 2], [2, 1]]) {
            let mut urls = String::new();
            for node in nodes {
                let url = stage.proxies[node].url(stage.world.vhost.url());
                write!(urls, "\"{url}?heartbeat=2\", ").unwrap();
            }
            let config =
                stage.world.config_at("", name).replacen("url = \"\"", &format!("url = [{urls}]"), 1);
            let replica = Freshet::start(&config, &World::environment());
            replica.ready().await;
            stage.replicas.push(replica);
        }
        stage
    }

    /// Some more rounds for both accounts.
    async fn publish(&mut self, rounds: usize) {
        let to_all =
            |event: Value| self.accounts.iter().map(move |account| addressed(event.clone(), account));
        let events: Vec<String> = stream(CONTACTS, self.published, rounds).flat_map(to_all).collect();
        self.world.publish_all(events).await;
        self.published += rounds;
    }

    /// How many contacts of an account have got their track of a round.
    fn arrived(&self, account: &str, round: usize) -> usize {
        let state = self.world.state(account);
        let of_round = |one: &&Value| one["properties"]["number"] == round;
        state["activities"].as_array().unwrap().iter().filter(of_round).count()
    }

    /// Waits until of each account so many tracks of a round have arrived.
    async fn until_arrived(&self, round: usize, tracks: usize, what: &str) {
        soon(what, async || {
            for account in &self.accounts {
                let arrived = self.arrived(account, round);
                if arrived < tracks {
                    return Err(format!("{arrived} tracks of round {round} for {account}"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Waits until both replicas are ready.
    async fn ready(&self, what: &str) {
        for replica in &self.replicas {
            soon(what, async || match replica.get("/readyz").await {
                (200, _) => Ok(()),
                (_, why) => Err(why),
            })
            .await;
        }
    }

    /// The one of the second and the third node that more of the replicas' connections are on.
    fn busiest(&self) -> usize {
        if self.proxies[1].open() >= self.proxies[2].open() { 1 } else { 2 }
    }

    /// Makes all replicas connect to one node, and returns it.
    async fn gather(&self) -> usize {
        let node = self.busiest();
        let other = &self.proxies[3 - node];
        other.down().await;
        soon("all are connected to one node", async || {
            other.open() == 0 && self.proxies[node].open() >= 2 * self.replicas.len()
        })
        .await;
        self.ready("all are connected to one node").await;
        other.pass().await;
        node
    }

    /// A node goes away that replicas are connected to: publishing and delivery go on without it, and nothing is
    /// worse for its return.
    async fn without(
        &mut self,
        what: &str,
        victim: usize,
        fault: impl AsyncFnOnce(&Self),
        mend: impl AsyncFnOnce(&Self),
    ) {
        assert!(self.proxies[victim].open() > 0, "{what}: nobody is connected to it");
        let first = self.published;
        self.publish(ROUNDS).await;
        self.until_arrived(first, 1, what).await;
        fault(self).await;
        self.faults += 1;
        self.publish(ROUNDS).await;
        self.until_arrived(self.published - 1, CONTACTS, what).await;
        mend(self).await;
        self.ready(what).await;
    }

    /// A node ends in one of two ways and is started again.
    async fn without_process(&mut self, what: &str, victim: usize, end: impl AsyncFnOnce(&Self)) {
        self.without(what, victim, end, async |stage| {
            stage.broker.node(victim).launch();
            stage.broker.node(victim).ready().await;
        })
        .await;
    }

    /// Makes a node refuse its peers, or take them again, and ends the connections it has with them. RabbitMQ's own
    /// tools get through: they have names of their own.
    async fn take_peers_for(&self, victim: usize, cookie: &str) {
        let peers = (0..3).filter(|peer| *peer != victim);
        let peers: Vec<_> = peers.map(|peer| format!("'{}'", self.broker.node(peer).name)).collect();
        let each = format!("erlang:set_cookie(Peer, '{cookie}'), erlang:disconnect_node(Peer)");
        let turn = format!("[begin {each} end || Peer <- [{}]].", peers.join(", "));
        self.broker.node(victim).control(&["eval", &turn]).await;
    }

    /// A node that is left alone does not refuse its clients. That is RabbitMQ's default.
    async fn keep_clients_on(&self, node: usize) {
        let ignore = "application:set_env(rabbit, cluster_partition_handling, ignore).";
        self.broker.node(node).control(&["eval", ignore]).await;
    }

    /// The nodes that no replica is connected to are killed: there is no majority.
    async fn without_majority(&mut self) {
        let rest = self.gather().await;
        self.keep_clients_on(rest).await;
        let first = self.published;
        self.world.amqp = Amqp::connect(self.world.vhost.url_on(rest)).await.unwrap();
        self.publish(10 * ROUNDS).await;
        self.until_arrived(first, 1, "events arrive before the majority is gone").await;
        let gone: Vec<usize> = (0..3).filter(|node| *node != rest).collect();
        for node in &gone {
            self.broker.node(*node).kill_now();
        }
        self.faults += 1;
        let stalled = "freshet_broker_stalled{reason=\"unconfirmed\"}";
        for replica in &self.replicas {
            shows(replica, stalled, 1.0).await;
            let (status, why) = replica.get("/readyz").await;
            assert!(status == 503 && why.contains("confirms nothing"), "{status} {why}");
            assert_eq!(replica.metric("freshet_broker_connected").await, 1.0);
        }
        for account in &self.accounts {
            assert!(self.arrived(account, self.published - 1) < CONTACTS, "all was over before");
        }
        for node in &gone {
            self.broker.node(*node).launch();
        }
        for node in &gone {
            self.broker.node(*node).ready().await;
        }
        self.ready("the majority is back").await;
        for replica in &self.replicas {
            assert_eq!(replica.metric(stalled).await, 0.0);
        }
    }
}

#[tokio::test]
async fn any_one_node_of_three_may_be_missing_and_without_a_majority_everything_waits() {
    let mut stage = Stage::set().await;
    let victim = stage.busiest();
    stage
        .without_process("a node that is stopped", victim, async |stage| {
            stage.broker.node(victim).stop().await;
        })
        .await;
    let victim = stage.busiest();
    stage
        .without_process("a node that is killed", victim, async |stage| {
            stage.broker.node(victim).kill_now();
        })
        .await;
    let victim = stage.busiest();
    stage
        .without(
            "a node that clients cannot reach",
            victim,
            async |stage| stage.proxies[victim].hang().await,
            async |stage| stage.proxies[victim].pass().await,
        )
        .await;
    let victim = stage.busiest();
    stage
        .without(
            "a node that neither clients nor peers can reach",
            victim,
            async |stage| stage.broker.node(victim).freeze(),
            async |stage| {
                stage.broker.node(victim).thaw();
                stage.broker.node(victim).ready().await;
            },
        )
        .await;
    let victim = stage.gather().await;
    stage
        .without(
            "a node that its peers cannot reach",
            victim,
            async |stage| {
                stage.keep_clients_on(victim).await;
                stage.take_peers_for(victim, "none of yours").await;
            },
            async |stage| {
                stage.take_peers_for(victim, "freshet-tests").await;
                // What it believes of the cluster is another story than what the others believe.
                stage.broker.node(victim).stop().await;
                stage.broker.node(victim).launch();
                stage.broker.node(victim).ready().await;
            },
        )
        .await;
    stage.without_majority().await;

    let Stage { world, replicas, accounts, published, faults, .. } = stage;
    world.fenced(&replicas.iter().collect::<Vec<_>>()).await;
    for account in accounts {
        let repeated = repeats(&world.state(&account), CONTACTS, published);
        // What was not acknowledged at a fault, by the lane or by the router.
        assert!(repeated <= faults * CONTACTS * ROUNDS, "{repeated} repeats for {account}");
    }
    world.finish(replicas).await;
}
