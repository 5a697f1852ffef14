//! A test's own AMQP client: publishes messages and looks into queues.

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};

/// A connection, and a channel with publisher confirms.
#[derive(Debug)]
pub struct Amqp {
    pub connection: Connection,
    pub channel: Channel,
}

impl Amqp {
    /// Without automatic recovery.
    pub async fn connect(url: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel })
    }

    /// Another channel, for commands that may close it.
    pub async fn channel(&self) -> Channel {
        self.connection.create_channel().await.expect("a channel")
    }

    /// Declares a durable quorum queue with these arguments besides.
    pub async fn declare_quorum(&self, queue: &str, arguments: &[(&str, AMQPValue)]) {
        let mut arguments = table(arguments);
        arguments.insert("x-queue-type".into(), text("quorum"));
        self.declare(queue, arguments).await;
    }

    /// Declares a durable classic queue.
    pub async fn declare_classic(&self, queue: &str) {
        self.declare(queue, table(&[("x-queue-type", text("classic"))])).await;
    }

    async fn declare(&self, queue: &str, arguments: FieldTable) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, arguments).await.expect("the queue is declared");
    }

    /// Binds a queue to an exchange.
    pub async fn bind(&self, queue: &str, exchange: &str, key: &str) {
        let options = QueueBindOptions::default();
        let none = FieldTable::default();
        self.channel
            .queue_bind(queue.into(), exchange.into(), key.into(), options, none)
            .await
            .expect("a binding");
    }

    /// Publishes to a queue by its name, and waits for the confirm.
    pub async fn publish(&self, queue: &str, body: impl AsRef<[u8]>, headers: &[(&str, &str)]) {
        let headers: Vec<(&str, AMQPValue)> =
            headers.iter().map(|(name, value)| (*name, text(value))).collect();
        self.publish_to("", queue, body, BasicProperties::default().with_headers(table(&headers))).await;
    }

    /// Publishes persistently to an exchange, and waits for the confirm. An unroutable message is a failure.
    pub async fn publish_to(
        &self,
        exchange: &str,
        key: &str,
        body: impl AsRef<[u8]>,
        properties: BasicProperties,
    ) {
        self.publish_all(exchange, key, [(body, properties)]).await;
    }

    /// Publishes many, in order, and waits for all the confirms together.
    pub async fn publish_all<B: AsRef<[u8]>>(
        &self,
        exchange: &str,
        key: &str,
        messages: impl IntoIterator<Item = (B, BasicProperties)>,
    ) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut confirms = Vec::new();
        for (body, properties) in messages {
            let properties = properties.with_delivery_mode(2);
            let sent =
                self.channel.basic_publish(exchange.into(), key.into(), options, body.as_ref(), properties);
            confirms.push(sent.await.expect("the message is sent"));
        }
        for confirm in confirms {
            let confirmation = confirm.await.expect("the broker answers");
            assert!(confirmation.is_ack(), "the broker refused a message for {exchange:?} {key:?}");
            let returned = confirmation.take_message();
            assert!(returned.is_none(), "no queue takes {key:?} of exchange {exchange:?}");
        }
    }

    /// Messages that are ready; those delivered and not yet settled are left out. `None` if the queue is missing.
    pub async fn depth(&self, queue: &str) -> Option<u32> {
        self.look(queue).await.map(|(messages, _)| messages)
    }

    /// How many consumers a queue has, active or not.
    pub async fn consumers(&self, queue: &str) -> Option<u32> {
        self.look(queue).await.map(|(_, consumers)| consumers)
    }

    async fn look(&self, queue: &str) -> Option<(u32, u32)> {
        // A missing queue closes the channel.
        let channel = self.channel().await;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let seen = channel.queue_declare(queue.into(), options, FieldTable::default()).await.ok()?;
        channel.close(200, "seen".into()).await.expect("the channel closes");
        Some((seen.message_count(), seen.consumer_count()))
    }

    /// Takes every message that is ready, in order.
    ///
    /// Without acknowledgements: a quorum queue works off 32 at a time, and those that wait for their turn are
    /// lost when the channel closes.
    pub async fn take_all(&self, queue: &str) -> Vec<Delivery> {
        let channel = self.channel().await;
        let mut taken = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(got) = channel.basic_get(queue.into(), options).await.expect("the queue can be read") {
            taken.push(got.delivery);
        }
        channel.close(200, "taken".into()).await.expect("the channel closes");
        taken
    }

    /// [`Amqp::take_all`] for a queue with a single active consumer, which refuses `basic.get`.
    pub async fn drain(&self, queue: &str) -> Vec<Delivery> {
        let waiting = self.depth(queue).await.expect("the queue is there");
        let channel = self.channel().await;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let mut consumer = channel
            .basic_consume(queue.into(), "".into(), options, FieldTable::default())
            .await
            .expect("a consumer");
        let mut taken = Vec::new();
        while taken.len() < waiting as usize {
            taken.push(next(&mut consumer).await);
        }
        channel.close(200, "taken".into()).await.expect("the channel closes");
        taken
    }

    /// A consumer on a channel of its own, with a prefetch and arguments such as `x-priority`.
    pub async fn consume(
        &self,
        queue: &str,
        prefetch: u16,
        arguments: &[(&str, AMQPValue)],
    ) -> (Channel, Consumer) {
        let channel = self.channel().await;
        channel.basic_qos(prefetch, BasicQosOptions::default()).await.expect("a prefetch");
        let consumer = channel
            .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), table(arguments))
            .await
            .expect("a consumer");
        (channel, consumer)
    }
}

/// The next delivery of a consumer.
pub async fn next(consumer: &mut Consumer) -> Delivery {
    consumer.next().await.expect("the consumer goes on").expect("a delivery")
}

/// A text as a header or argument.
pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

/// Headers or arguments.
pub fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(ShortString::from(*name), value.clone());
    }
    table
}

/// A message's header as text; `None` if it is missing or of another type.
pub fn header(delivery: &Delivery, name: &str) -> Option<String> {
    let value = delivery.properties.headers().as_ref()?.inner().get(name)?;
    value.as_long_string().map(ToString::to_string)
}
