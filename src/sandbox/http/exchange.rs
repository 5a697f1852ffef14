//! One request and its answer on a connection, with the latency and the faults between them.

use axum::{
    body::Body,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tokio::time::sleep;

use super::endpoint::RequestTarget;
use super::fault_injection::fault_spec::Misbehaviour;
use super::fault_injection::faults::RequestEffect;
use super::fault_injection::resettable_connection::ConnectionResetter;
use super::request::ApiRequest;
use super::served::Served;

/// A request to the API, and what is needed to answer it or not.
pub(in crate::sandbox) struct Exchange {
    served: Served,
    connection: ConnectionResetter,
    request: ApiRequest,
}

impl FromRequest<Served> for Exchange {
    type Rejection = Response;

    async fn from_request(request: Request, served: &Served) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let connection = ConnectInfo::from_request_parts(&mut parts, served).await;
        let ConnectInfo(connection) = connection.map_err(IntoResponse::into_response)?;
        let request = Request::from_parts(parts, body);
        let request = ApiRequest::read(request, served.body_limit()).await;
        Ok(Self { served: served.clone(), connection, request })
    }
}

impl Exchange {
    /// Answers the request, unless a fault decides otherwise, and logs it.
    pub(super) async fn run(self, target: RequestTarget, id: u64) -> Response {
        let Self { served, connection, request } = self;
        let latency = served.api.lock().account.options.latency;
        if !latency.is_zero() {
            sleep(latency).await;
        }
        let struck = served.api.lock().faults.strike(&target.name(), &request);
        let answer = || served.api.lock().answer(target, id, &request);
        let early = match &struck {
            Some((_, RequestEffect::Applied)) => Some(answer()),
            Some((_, RequestEffect::Withheld)) | None => None,
        };
        let log = |outcome: &str| served.api.lock().log(&request, target, outcome.to_owned());
        let response = match struck.map(|(misbehaviour, _)| misbehaviour) {
            None => answer(),
            Some(Misbehaviour::Delay(delay)) => {
                sleep(delay).await;
                early.unwrap_or_else(answer)
            }
            Some(Misbehaviour::Answer { status, headers, body }) => {
                (status, headers, Body::from(body)).into_response()
            }
            Some(Misbehaviour::Hang) => {
                log("hang");
                served.stop.cancelled().await;
                return reset(&connection);
            }
            Some(Misbehaviour::Reset) => {
                log("reset");
                return reset(&connection);
            }
        };
        log(response.status().as_str());
        response
    }
}

/// Resets the connection. The response is never sent; writing it is what makes the server notice.
fn reset(connection: &ConnectionResetter) -> Response {
    connection.reset();
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
