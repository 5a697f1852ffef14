//! A server before the sandbox that answers some calls itself, in ways no sane server would.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is sent in place of an answer.
#[derive(Debug, Clone)]
pub enum Odd {
    /// These bytes, then the connection ends.
    Bytes(Vec<u8>),
    /// These bytes, then the connection is reset.
    Reset(Vec<u8>),
    /// A head, and then a byte now and again.
    Drip,
}

/// The front. Ends with its value.
pub struct Front {
    pub address: SocketAddr,
    /// For paths that start so, in this order; the first that fits is used up.
    script: Arc<Mutex<VecDeque<(String, Odd)>>>,
    /// Every request as it came.
    seen: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Front {
    pub async fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<VecDeque<(String, Odd)>>> = Arc::default();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut serving = JoinSet::new();
        let (scripted, noted) = (script.clone(), seen.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (scripted, noted) = (scripted.clone(), noted.clone());
                connections.spawn(async move {
                    // Peers that go away are what this is for.
                    drop(serve(stream, behind, &scripted, &noted).await);
                });
            }
        });
        Self { address, script, seen, _serving: serving }
    }

    pub fn odd(&self, path: &str, odd: Odd) {
        self.script.lock().unwrap().push_back((path.to_owned(), odd));
    }

    pub fn unused(&self) -> usize {
        self.script.lock().unwrap().len()
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    behind: SocketAddr,
    script: &Mutex<VecDeque<(String, Odd)>>,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let Some((head, body)) = request(&mut stream).await? else { return Ok(()) };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(format!("{head}{}", String::from_utf8_lossy(&body)));
    let odd = {
        let mut script = script.lock().unwrap();
        let place = script.iter().position(|(start, _)| path.starts_with(start.as_str()));
        place.and_then(|place| script.remove(place))
    };
    match odd {
        Some((_, Odd::Bytes(bytes))) => {
            // Whoever stops reading in the middle is right to.
            drop(stream.write_all(&bytes).await);
            stream.shutdown().await
        }
        Some((_, Odd::Reset(bytes))) => {
            stream.write_all(&bytes).await?;
            stream.set_zero_linger()
        }
        Some((_, Odd::Drip)) => {
            stream
                .write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{",
                )
                .await?;
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stream.write_all(b" ").await?;
            }
        }
        None => {
            let mut account = TcpStream::connect(behind).await?;
            let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            account.write_all(head.as_bytes()).await?;
            account.write_all(&body).await?;
            tokio::io::copy(&mut account, &mut stream).await?;
            stream.shutdown().await
        }
    }
}

/// One request: its head with the blank line, and its body.
async fn request(stream: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .to_lowercase()
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next().and_then(|digits| digits.parse::<usize>().ok()));
    let whole = end + length.unwrap_or(0);
    while bytes.len() < whole {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, bytes[end..].to_vec())))
}
