//! Events for every account, for as long as something else goes on.

use std::cell::Cell;

use serde_json::Value;

use crate::events::addressed;
use crate::support::soon;
use crate::world::World;

/// Each account gets its own rounds, so that one whose lane stands still holds up no other's.
pub struct Feed<'a, R> {
    world: &'a World,
    /// The events of a round.
    round: R,
    /// Rounds published at once to an account.
    rounds: usize,
    /// A queue with fewer messages ready has room.
    room: u32,
    /// Rounds of each account so far.
    published: Vec<Cell<usize>>,
}

impl<'a, E: IntoIterator<Item = Value>, R: Fn(usize) -> E> Feed<'a, R> {
    pub fn new(world: &'a World, round: R, rounds: usize, room: u32) -> Self {
        let published = world.accounts.iter().map(|_| Cell::new(0)).collect();
        Self { world, round, rounds, room, published }
    }

    /// Publishes to every account whose lane has room, until `work` is done.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let over = Cell::new(false);
        let feeding = async {
            while !over.get() {
                let roomy = soon("there is room in a lane", async || {
                    let roomy = self.roomy().await;
                    (over.get() || !roomy.is_empty()).then_some(roomy)
                })
                .await;
                for number in roomy {
                    self.publish(number).await;
                }
            }
        };
        let working = async {
            let done = work.await;
            over.set(true);
            done
        };
        let (done, ()) = tokio::join!(working, feeding);
        done
    }

    /// How many rounds each account of the world got.
    pub fn published(&self) -> impl Iterator<Item = usize> {
        self.published.iter().map(Cell::get)
    }

    /// The accounts whose lanes have room. None has while too much waits to be routed.
    async fn roomy(&self) -> Vec<usize> {
        let Self { world, room, .. } = self;
        let mut roomy = Vec::new();
        let has_room =
            async |queue: String| world.amqp.depth(&queue).await.is_some_and(|depth| depth < *room);
        if has_room(world.queue()).await {
            for (number, account) in world.accounts.iter().enumerate() {
                if has_room(world.lane(&account.name)).await {
                    roomy.push(number);
                }
            }
        }
        roomy
    }

    async fn publish(&self, number: usize) {
        let (published, account) = (&self.published[number], &self.world.accounts[number].name);
        let first = published.replace(published.get() + self.rounds);
        let events = (first..first + self.rounds).flat_map(&self.round);
        self.world.publish_all(events.map(|event| addressed(event, account))).await;
    }
}
