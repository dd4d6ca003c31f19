//! The sandbox over HTTP/1 on a listener of the caller's. Cut connections are really cut: with a TCP reset.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::Sandbox;
use super::answer::{Delivery, Reply};
use super::engine::{Ask, Head, Paging};
use super::script::Fault;

/// Bodies beyond this are not read at all; up to it they are, so that the client gets its 413 instead of a reset.
const MAX_READ: usize = 64 * 1024 * 1024;

/// The connection's end, in the hands of its handlers.
#[derive(Clone, Debug, Default)]
struct Cut(Arc<Notify>);

/// Answers on the listener until `stop` resolves; then every connection ends at once.
///
/// # Errors
/// When the listener fails.
pub async fn serve(sandbox: Sandbox, listener: TcpListener, stop: impl Future<Output = ()>) -> io::Result<()> {
    let router = router(sandbox);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            // Only to let go of what has ended.
            Some(_) = connections.join_next() => {},
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone()));
                },
                // The client was gone before we got to it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {},
                Err(error) => return Err(error),
            },
        }
    }
    connections.shutdown().await;
    Ok(())
}

async fn connection(stream: TcpStream, router: Router) {
    let cut = Cut::default();
    let service = TowerToHyperService::new(router.layer(Extension(cut.clone())));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = &mut connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "sandbox connection ended early");
            }
        },
        () = cut.0.notified() => {
            let stream = connection.into_parts().io.into_inner();
            // Without lingering, closing sends RST instead of FIN.
            if let Err(error) = stream.set_zero_linger() {
                tracing::debug!(%error, "sandbox connection could not be reset");
            }
        },
    }
}

fn router(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/v1/groups", get(list_groups).post(create_group))
        .route("/v1/groups/{group}", get(read_group).patch(update_group))
        .route("/v1/groups/{group}/members/sync", post(submit))
        .route("/v1/groups/{group}/members/sync/{request}", get(poll))
        .route("/v1/plans", get(list_plans))
        .with_state(sandbox)
}

/// A page of a list; whatever else the query holds is ignored.
#[derive(Deserialize)]
struct Page {
    page: Option<String>,
    limit: Option<String>,
}

impl From<Page> for Paging {
    fn from(Page { page, limit }: Page) -> Self {
        Self { page, limit }
    }
}

async fn list_groups(
    State(sandbox): State<Sandbox>,
    Query(page): Query<Page>,
    cut: Extension<Cut>,
    request: Request,
) -> Response {
    answer(sandbox, Ask::List(page.into()), cut, request).await
}

async fn list_plans(
    State(sandbox): State<Sandbox>,
    Query(page): Query<Page>,
    cut: Extension<Cut>,
    request: Request,
) -> Response {
    answer(sandbox, Ask::Plans(page.into()), cut, request).await
}

async fn create_group(State(sandbox): State<Sandbox>, cut: Extension<Cut>, request: Request) -> Response {
    answer(sandbox, Ask::Create, cut, request).await
}

async fn read_group(
    State(sandbox): State<Sandbox>,
    Path(group): Path<String>,
    cut: Extension<Cut>,
    request: Request,
) -> Response {
    answer(sandbox, Ask::Read { group }, cut, request).await
}

async fn update_group(
    State(sandbox): State<Sandbox>,
    Path(group): Path<String>,
    cut: Extension<Cut>,
    request: Request,
) -> Response {
    answer(sandbox, Ask::Update { group }, cut, request).await
}

async fn submit(
    State(sandbox): State<Sandbox>,
    Path(group): Path<String>,
    cut: Extension<Cut>,
    request: Request,
) -> Response {
    answer(sandbox, Ask::Submit { group }, cut, request).await
}

async fn poll(
    State(sandbox): State<Sandbox>,
    Path((group, polled)): Path<(String, String)>,
    cut: Extension<Cut>,
    request: Request,
) -> Response {
    answer(sandbox, Ask::Poll { group, request: polled }, cut, request).await
}

async fn answer(sandbox: Sandbox, ask: Ask, Extension(cut): Extension<Cut>, request: Request) -> Response {
    let (authorization, content_type) =
        (text(request.headers(), &AUTHORIZATION), text(request.headers(), &CONTENT_TYPE));
    let head = Head { ask, authorization, content_type };
    let begun = sandbox.begin(&head);
    if let Ok(begun) = &begun
        && begun.rule.as_ref().is_some_and(|rule| rule.fault == Fault::Reset)
    {
        return reset(&cut).await;
    }
    let body = axum::body::to_bytes(request.into_body(), MAX_READ).await;
    tokio::time::sleep(sandbox.latency).await;
    let (reply, delivery) = match (begun, body) {
        (Err(reply), _) => (reply, Delivery::Whole),
        // The client went away, or sends without end.
        (Ok(_), Err(_)) => return reset(&cut).await,
        (Ok(begun), Ok(body)) => sandbox.finish(&head, &begun, &body),
    };
    match delivery {
        Delivery::Whole => response(reply, Body::from),
        Delivery::Reset => reset(&cut).await,
        Delivery::Half => response(reply, |body| Body::new(Half::new(body))),
        Delivery::Late(wait) => {
            tokio::time::sleep(wait).await;
            response(reply, Body::from)
        }
    }
}

/// Ends the connection with a TCP reset; the handler ends with it.
async fn reset(cut: &Cut) -> Response {
    cut.0.notify_one();
    std::future::pending().await
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn response(reply: Reply, body: impl FnOnce(String) -> Body) -> Response {
    let headers = reply.headers;
    let mut response = Response::new(body(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Promises a whole document, sends the first half, and fails.
struct Half {
    promised: u64,
    left: Option<Bytes>,
    waits: bool,
}

impl Half {
    fn new(document: String) -> Self {
        let document = Bytes::from(document);
        let promised = u64::try_from(document.len()).unwrap_or(u64::MAX);
        Self { promised, left: Some(document.slice(..document.len() / 2)), waits: true }
    }
}

impl HttpBody for Half {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(half) = self.left.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if std::mem::take(&mut self.waits) {
            // Lets the first half out to the socket: hyper flushes when the body is not ready.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}

#[cfg(test)]
mod tests;
