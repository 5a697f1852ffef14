//! The pages, asked by those who say nothing, read nothing, or come in crowds.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Freshet, eventually, get, script};
use crate::world::World;

const ACCOUNTS: usize = 500;
/// More than the pages have room for.
const SILENT: usize = 400;
const DEAF: usize = 20;

/// A process with many accounts that waits for its first event; RabbitMQ is not needed for that.
fn start(folder: &TempDir) -> (Freshet, File) {
    let pipe = folder.path().join("pipe");
    assert!(script("mkfifo pipe", folder.path(), &[]).status.success());
    let held = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut config = "[http]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for number in 0..ACCOUNTS {
        write!(
            config,
            "[[accounts]]\nname = \"account-{number}\"\nurl = \"http://127.0.0.1:1\"\n\
             api_key = {{ env = \"TEST_KEY\" }}\nplan = \"pro\"\nwrite_keys = [\"{number}\"]\n"
        )
        .unwrap();
    }
    let run = format!("exec \"$FRESHET\" run --events - < '{}'", pipe.display());
    (Freshet::start_script(&run, &config, &World::environment()), held)
}

async fn connect(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn whoever_is_slow_or_silent_is_let_go_and_costs_nobody_an_answer() {
    let folder = TempDir::new().unwrap();
    let (mut freshet, _held) = start(&folder);
    let address = freshet.http_addr().await;
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(connect(address, "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").await);
    }
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let request = if number % 2 == 0 { "" } else { "GET /metrics HTTP/1.1\r\n" };
        silent.push(connect(address, request).await);
        if number % 100 == 0 {
            assert_eq!(get(address, "/livez").await.unwrap(), (200, "alive\n".to_owned()));
            assert_eq!(get(address, "/readyz").await.unwrap(), (200, "ready\n".to_owned()));
        }
    }
    // None of them is kept for as long as it likes.
    eventually(Duration::from_mins(2), "every silent connection is ended", async || {
        let mut open = 0;
        for stream in &silent {
            let mut byte = [0];
            let waits =
                stream.try_read(&mut byte).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            open += usize::from(waits);
        }
        if open == 0 { Ok(()) } else { Err(format!("{open} of {SILENT} are open")) }
    })
    .await;
    drop(deaf);
    // The first page shows a hundred accounts; the others are found by name.
    let (status, page) = get(address, "/").await.unwrap();
    assert!(status == 200 && page.contains("page 1 of 5"));
    let last = format!("account-{}", ACCOUNTS - 1);
    for path in [format!("/?q={last}"), format!("/accounts/{last}"), format!("/api/accounts/{last}")] {
        let (status, page) = get(address, &path).await.unwrap();
        assert!(status == 200 && page.contains(&last), "{path}");
    }
    assert_eq!(get(address, "/accounts/nobody").await.unwrap().0, 404);
    freshet.signal("TERM");
    freshet.exit().await;
}
