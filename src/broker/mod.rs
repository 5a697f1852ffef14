//! RabbitMQ: from the intake queue to the lanes, and from what lanes settle to acknowledgements and dead letters. The only
//! user of `lapin`, and of AMQP's wire format.
//!
//! ```text
//! Q ─► router ─► Q.lane.<account> ─► lane_consumer ─► lane ─► settlements ─► ack | Q.dead
//! ```
//!
//! Knows an event only as far as it takes to find its account. Must not know the other source of events, nor what a lane
//! does with them. Called by the commands.
//!
//! From the top: `session` puts the parts together; `consuming` keeps each queue consumed, by way of `router` or
//! `lane_consumer`; both publish through `publishing`. `unreadable` finds messages that connections end over, `probes`
//! what RabbitMQ does not say. `dead_letter_queue` is what people do with dead letters. All of them are given the
//! `context`, report to `health`, and stand on `topology`, `amqp` and `transport`.

mod amqp;
mod consuming;
mod context;
mod dead_letter_queue;
mod error;
mod facts;
mod health;
mod inspection;
mod intake_publisher;
mod lane_consumer;
mod names;
mod probes;
mod publishing;
mod router;
mod session;
mod status_exchange;
mod timing;
mod topology;
mod transport;
mod unreadable;

pub use crate::broker::amqp::address::{Address, AddressError, Addresses};
pub use context::{Context, LaneSet, RoutedAccounts};
pub use dead_letter_queue::{
    DeadLetterQueue, LetterAccounts, LetterCounter, LetterJudge, LetterOrder, LetterProgress,
    LetterQueueError, LetterState, LetterVerdict, LettersSeen, StayingLetters,
};
pub use facts::{BrokerFacts, QueueDepths};
pub use health::{BrokerHealth, HealthView};
pub use inspection::first_node::NoNode;
pub use inspection::inspect::difference::QueueDifference;
pub use inspection::survey::{
    BrokerSurvey, Certainty, ExchangeState, ExchangesReport, NameState, NodeFacts, NodeFailure,
    ObjectsReport, Publishing, QueueState, RefusedRight, RightsReport, SurveyedNode, survey,
};
pub use intake_publisher::{PublishError, Published, Publisher};
pub use names::{Names, priority};
pub use router::{RouterTrial, TrialMessage};
pub use session::run;
pub use status_exchange::{StatusMessage, StatusPort};
pub use transport::ConnectStep;

#[cfg(test)]
mod tests {
    mod cost;
    mod fuzz;
}
