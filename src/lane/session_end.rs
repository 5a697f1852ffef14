//! What the end of a session asks of a lane: how long its last requests may take, and that every delivery is answered.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::timing::LOST_SESSION_GRACE;
use crate::delivery::Session;
use crate::outcome::Outcome;

/// Returns when requests in flight are cut off.
pub(super) async fn end_of_grace(stop: CancellationToken, grace: Duration, lost: CancellationToken) {
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    let cut_off = async {
        lost.cancelled().await;
        tokio::time::sleep(LOST_SESSION_GRACE).await;
    };
    tokio::select! {
        () = stopped => {}
        () = cut_off => {}
    }
}

/// Settles deliveries that were handed over but never taken.
pub(super) async fn give_back(session: &mut Session) {
    session.deliveries.close();
    while let Some(delivery) = session.deliveries.recv().await {
        delivery.receipt.settle(Outcome::Returned, 0);
    }
}
