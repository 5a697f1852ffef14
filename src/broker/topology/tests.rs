use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::broker::amqp::address::Address;
use crate::broker::transport;
use crate::broker::transport::tests::{frame, long};

const START: [u8; 4] = [0, 10, 0, 10];
const START_OK: [u8; 4] = [0, 10, 0, 11];
const TUNE: [u8; 4] = [0, 10, 0, 30];
const OPEN: [u8; 4] = [0, 10, 0, 40];
const OPEN_OK: [u8; 4] = [0, 10, 0, 41];
const CHANNEL_OPEN: [u8; 4] = [0, 20, 0, 10];
const CHANNEL_OPEN_OK: [u8; 4] = [0, 20, 0, 11];

/// Plays a broker that opens connections and channels, and answers nothing about queues and exchanges.
async fn opens_only(mut socket: TcpStream) -> std::io::Result<()> {
    let mut protocol_header = [0; 8];
    socket.read_exact(&mut protocol_header).await?;
    let start = [&START[..], &[0, 9], &long(b""), &long(b"PLAIN"), &long(b"en_US")].concat();
    socket.write_all(&frame(1, 0, &start)).await?;
    loop {
        let mut head = [0; 7];
        socket.read_exact(&mut head).await?;
        let channel = u16::from_be_bytes([head[1], head[2]]);
        let mut payload = vec![0; u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 1];
        socket.read_exact(&mut payload).await?;
        let answer = match payload.first_chunk::<4>() {
            Some(&START_OK) => [&TUNE[..], &[0, 0], &131_072_u32.to_be_bytes(), &[0, 0]].concat(),
            Some(&OPEN) => [&OPEN_OK[..], &[0]].concat(),
            Some(&CHANNEL_OPEN) => [&CHANNEL_OPEN_OK[..], &long(b"")].concat(),
            Some(_) | None => continue,
        };
        socket.write_all(&frame(1, channel, &answer)).await?;
    }
}

#[tokio::test]
async fn a_declaration_that_is_never_answered_ends_with_an_error_that_names_what_was_declared() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("amqp://{}/%2f?heartbeat=0", listener.local_addr().unwrap());
    let mut broker = JoinSet::new();
    broker.spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        opens_only(socket).await
    });
    let connection = transport::connect(&Address::parse(&address).unwrap(), "test").await.unwrap();
    let names = Names::new("Q");
    tokio::time::pause();
    let unanswered = async {
        [
            declare_shared(&connection, &names).await.unwrap_err(),
            declare_intake(&connection, &names).await.unwrap_err(),
            bind(&connection, "Q.lane.acme", "Q.lanes", "acme").await.unwrap_err(),
        ]
    };
    let errors = tokio::time::timeout(Duration::from_hours(1), unanswered).await.expect("it ends");
    for (error, name) in errors.iter().zip(["Q.lanes", "Q", "Q.lane.acme"]) {
        assert_eq!(error.to_string(), format!("the broker has not answered for {name} within 30 s"));
    }
}
