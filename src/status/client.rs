//! Asks a replica's pages one question, within a deadline. Called by the commands; not by the daemon.

use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The most bytes of an answer that are read. Some ten thousand accounts fit.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// What a replica, or whatever listens in its place, answered.
#[derive(Debug)]
pub struct PageAnswer {
    /// Of HTTP.
    pub status: u16,
    /// Of any form.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens, or not for everybody.
    #[error("cannot connect to {authority}: {source}; is `freshet run` up, and is this its `http.listen`?")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// The system's.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("{authority} does not answer within {} s; the replica hangs, or another program listens there", .deadline.as_secs_f64())]
    TooLate {
        /// Host and port.
        authority: String,
        /// How long it had.
        deadline: Duration,
    },
    /// What came was no HTTP, or ended early.
    #[error("{authority} does not answer as a replica does ({why}); another program may listen there")]
    NotHttp {
        /// Host and port.
        authority: String,
        /// What is wrong with it.
        why: String,
    },
}

/// `GET`s a path of the replica at `authority`, which is `<host>:<port>`.
pub async fn ask(authority: &str, path: &str, deadline: Duration) -> Result<PageAnswer, AskError> {
    let late = |_| AskError::TooLate { authority: authority.to_owned(), deadline };
    tokio::time::timeout(deadline, exchange(authority, path)).await.map_err(late)?
}

async fn exchange(authority: &str, path: &str) -> Result<PageAnswer, AskError> {
    let not_http =
        |why: &dyn ToString| AskError::NotHttp { authority: authority.to_owned(), why: why.to_string() };
    let stream = TcpStream::connect(authority)
        .await
        .map_err(|source| AskError::Unreachable { authority: authority.to_owned(), source })?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_http(&error))?;
    // Carries the bytes while the answer is awaited. Its error is that of the request.
    let mut carrying = JoinSet::new();
    carrying.spawn(connection);
    let request = Request::get(path).header(HOST, authority).body(Body::empty());
    let request = request.map_err(|error| not_http(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| not_http(&error))?;
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(Body::new(answer.into_body()), ANSWER_LIMIT)
        .await
        .map_err(|error| not_http(&error))?;
    Ok(PageAnswer { status, body: String::from_utf8_lossy(&body).into_owned() })
}
