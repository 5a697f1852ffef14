//! Why a connection could not be made.

use std::time::Duration;

use lapin::ErrorKind;

use super::dial::DialError;
use super::peer::NotAmqp;

#[derive(Debug, thiserror::Error)]
pub(in crate::broker) enum ConnectError {
    #[error("{0}{hint}", hint = hint(.0))]
    Amqp(#[from] lapin::Error),
    #[error("the broker cannot be reached: {0}")]
    Unreachable(#[from] DialError),
    #[error("no broker is there: {0}")]
    NotAmqp(NotAmqp),
    #[error(
        "something took the connection and was no broker that is ready within {} s; is it an AMQP port?",
        .0.as_secs_f32()
    )]
    NotReady(Duration),
    #[error("the address cannot be understood")]
    Address,
}

/// What to check, where the broker's own words do not say it.
pub(in crate::broker) fn hint(error: &lapin::Error) -> &'static str {
    let ErrorKind::ProtocolError(error) = error.kind() else { return "" };
    let message = error.get_message().as_str();
    if message.contains("Login was refused") {
        " Are user and password in broker.url right?"
    } else if message.contains("vhost") && message.contains("not found") {
        "; the path of broker.url names the vhost, and %2f is the vhost `/`"
    } else {
        ""
    }
}
