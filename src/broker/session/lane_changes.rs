//! Takes over what a configuration that was read again changes about the lanes, for as long as the session holds. Lanes
//! that stay are not touched. Started by the session; removed lanes end by themselves, through their inlets.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::broker::amqp::connection::ConnectionPool;
use crate::broker::context::{Context, LaneSet};
use crate::broker::error::BrokerError;
use crate::broker::topology;

/// Declares the lanes that come, has their events routed, and only then has them consumed.
pub(super) async fn follow(
    context: Arc<Context>,
    pool: Arc<ConnectionPool>,
    mut lanes: watch::Receiver<Arc<LaneSet>>,
    mut known: Arc<LaneSet>,
    added: mpsc::Sender<Vec<usize>>,
) -> Result<(), BrokerError> {
    let connection = &pool.pair(0)?.consuming;
    while lanes.changed().await.is_ok() {
        let now = lanes.borrow_and_update().clone();
        let new: Vec<usize> =
            now.inlets.keys().filter(|number| !known.inlets.contains_key(number)).copied().collect();
        let accounts = new.iter().filter_map(|number| now.inlets.get(number)).map(|inlet| &inlet.account);
        topology::declare_lanes(connection, &context.names, accounts).await?;
        // Not before: RabbitMQ would refuse what is published to a lane that is not there.
        context.routed.set(now.index.clone());
        known = now;
        if added.send(new).await.is_err() {
            break;
        }
    }
    Ok(())
}
