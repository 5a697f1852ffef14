//! Finds a node that takes a connection, for the commands and the page's dead letters: they try each node once, and
//! then say how it is with each.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::broker::amqp::address::{Address, Addresses};
use crate::broker::error::BrokerError;
use crate::broker::transport::ConnectError;

/// No node took a connection. In words that a person can act upon, without secrets.
#[derive(Debug)]
pub struct NoNode(Vec<(String, String)>);

/// What the first node that can be reached gives.
pub(in crate::broker) async fn first_node<'a, T, E: Into<BrokerError>>(
    addresses: &'a Addresses,
    reach: impl Fn(&'a Address) -> BoxFuture<'a, Result<T, E>>,
) -> Result<T, NoNode> {
    let mut failed = Vec::new();
    for node in 0..addresses.count() {
        let address = addresses.nth(node);
        match reach(address).await {
            Ok(reached) => return Ok(reached),
            Err(error) => failed.push((address.shown(), why(&error.into()))),
        }
    }
    Err(NoNode(failed))
}

/// Without the words that [`NoNode`] begins with.
fn why(error: &BrokerError) -> String {
    if let BrokerError::Connect(ConnectError::Unreachable(why)) = error {
        why.to_string()
    } else {
        error.to_string()
    }
}

impl fmt::Display for NoNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot reach the broker")?;
        for (number, (node, why)) in self.0.iter().enumerate() {
            write!(f, "{} at {node}: {why}", if number > 0 { ", nor" } else { "" })?;
        }
        // Some causes name the setting that is wrong.
        if self.0.iter().any(|(_, why)| why.contains("broker.")) {
            return Ok(());
        }
        f.write_str("; is it up, and is broker.url right?")
    }
}

impl std::error::Error for NoNode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_of_each_node_what_was_wrong_and_what_to_look_at() {
        let of = |nodes: &[(&str, &str)]| {
            let told = nodes.iter().map(|(node, why)| ((*node).to_owned(), (*why).to_owned()));
            NoNode(told.collect()).to_string()
        };
        for (nodes, told) in [
            (
                &[("a:5672", "cannot connect: refused")][..],
                "cannot reach the broker at a:5672: cannot connect: refused; is it up, and is broker.url right?",
            ),
            (
                &[("a:5672", "refused"), ("[::1]:5673", "no connection within 10 s")],
                "cannot reach the broker at a:5672: refused, nor at [::1]:5673: no connection within 10 s; is it up, \
                 and is broker.url right?",
            ),
            (
                &[("a:5672", "Are user and password in broker.url right?")],
                "cannot reach the broker at a:5672: Are user and password in broker.url right?",
            ),
        ] {
            assert_eq!(of(nodes), told);
        }
    }
}
