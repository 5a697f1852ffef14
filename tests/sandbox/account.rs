//! A sandbox on a free port, and what reads its answers.

use std::time::Duration;

use freshet::sandbox::{Options, Sandbox};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// A sandbox on a free port, stopped and waited for at the end of each test.
pub(crate) struct Account {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) sandbox: Sandbox,
    stop: CancellationToken,
    serving: JoinSet<std::io::Result<()>>,
}

impl Account {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        // Fails in every test but the first of the process, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sandbox, stop) = (Sandbox::new(options), CancellationToken::new());
        let mut serving = JoinSet::new();
        let (served, until) = (sandbox.clone(), stop.clone());
        serving.spawn(async move { served.serve(listener, until).await });
        Self { url, client: Client::new(), sandbox, stop, serving }
    }

    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Response> {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.header("authorization", "Token token=k").timeout(Duration::from_secs(10));
        match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        self.try_send(method, path, body).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.send(Method::POST, path, Some(&body)).await).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.send(Method::PUT, path, Some(&body)).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.send(Method::GET, path, None).await).await
    }

    pub(crate) async fn upsert(&self, email: &str, contact: Value) -> (u16, Value) {
        let body = json!({"unique_identifier": {"emails": email}, "contact": contact});
        self.post("/api/contacts/upsert", body).await
    }

    /// A new sales account's id.
    pub(crate) async fn sales_account(&self, name: &str) -> u64 {
        let (status, body) = self.post("/api/sales_accounts", json!({"sales_account": {"name": name}})).await;
        assert_eq!(status, 200, "{body}");
        body["sales_account"]["id"].as_u64().unwrap()
    }

    pub(crate) async fn faults(&self, faults: Value) {
        let (status, body) = self.post("/_sandbox/faults", faults).await;
        assert_eq!(status, 200, "{body}");
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        drop(self.client);
        self.serving.join_next().await.unwrap().unwrap().unwrap();
    }
}

pub(crate) async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// The messages of a 400, whose body must have the one form that the API is known to use.
pub(crate) fn messages(answer: &(u16, Value)) -> Vec<&str> {
    assert_eq!((answer.0, &answer.1["errors"]["code"]), (400, &json!(400)), "{}", answer.1);
    let messages = answer.1["errors"]["message"].as_array().unwrap();
    messages.iter().map(|message| message.as_str().unwrap()).collect()
}

pub(crate) fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

/// A field of an answer of the settings endpoint.
pub(crate) fn field<'a>(fields: &'a Value, name: &str) -> &'a Value {
    list(&fields["fields"]).iter().find(|field| field["name"] == name).unwrap()
}
