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

/// How far an attempt to connect came: the step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectStep {
    /// To find the host's address.
    Name,
    /// To reach it.
    Network,
    /// To agree on encryption.
    Tls,
    /// To find a broker there that speaks AMQP.
    Protocol,
    /// To be let in, and into the virtual host.
    Login,
}

impl ConnectError {
    pub(in crate::broker) fn step(&self) -> ConnectStep {
        match self {
            Self::Unreachable(DialError::Name(_) | DialError::NoAddress) | Self::Address => ConnectStep::Name,
            Self::Unreachable(DialError::Connect(_) | DialError::Late(_)) => ConnectStep::Network,
            Self::Unreachable(
                DialError::NoServerName
                | DialError::Files(_)
                | DialError::Panicked
                | DialError::WantsCertificate
                | DialError::MayWantCertificate(_)
                | DialError::OwnCertificate(_)
                | DialError::Alert(_)
                | DialError::Plain
                | DialError::Closed
                | DialError::Certificate(_)
                | DialError::Tls(_),
            ) => ConnectStep::Tls,
            Self::NotAmqp(_) | Self::NotReady(_) => ConnectStep::Protocol,
            Self::Amqp(_) => ConnectStep::Login,
        }
    }
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
