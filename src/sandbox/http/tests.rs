use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::super::script::{GroupSeed, On, Rule, Script};
use super::super::tests::{roster, row};
use super::*;

/// A sandbox on a port of its own, and a client that knows nothing but HTTP.
struct Server {
    sandbox: Sandbox,
    group: String,
    address: SocketAddr,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    served: JoinSet<io::Result<()>>,
}

impl Server {
    async fn new() -> Self {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut script = Script { delay: Duration::ZERO, ..Script::default() };
        script.groups.push(GroupSeed { reference: "sales".into(), name: "Sales".into() });
        let sandbox = Sandbox::new(script);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut served = JoinSet::new();
        let stopped = async move { drop(stopped.await) };
        served.spawn(serve(sandbox.clone(), listener, stopped));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let group = sandbox.groups()[0].id.clone();
        Self { sandbox, group, address, client, stop, served }
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).bearer_auth("vit_apk_x")
    }

    fn sync_path(&self) -> String {
        format!("/v1/groups/{}/members/sync", self.group)
    }

    fn submission(&self) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::POST, &self.sync_path()).json(&roster(&[row("E1")]))
    }

    async fn submit(&self) -> reqwest::Result<reqwest::Response> {
        self.submission().send().await
    }

    fn misbehave(&self, rule: Rule) {
        self.sandbox.misbehave(rule).unwrap();
    }

    fn accepted(&self) -> usize {
        self.sandbox.requests().len()
    }
}

fn is_reset(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if io == Some(io::ErrorKind::ConnectionReset) {
            return true;
        }
        source = cause.source();
    }
    false
}

#[tokio::test]
async fn every_endpoint_answers_over_http() {
    let server = Server::new().await;
    let answer = server.submit().await.unwrap();
    assert_eq!(answer.status(), 202);
    let body: Value = answer.json().await.unwrap();
    let path = format!("{}/{}", server.sync_path(), body["data"]["request_id"].as_str().unwrap());
    let get = |path: String| server.request(reqwest::Method::GET, &path).send();
    let body: Value = get(path).await.unwrap().json().await.unwrap();
    assert_eq!(body["data"]["results"]["added_group_member_ids"].as_array().unwrap().len(), 1);
    let body: Value = get("/v1/plans?limit=1&page=2&x=y".into()).await.unwrap().json().await.unwrap();
    assert_eq!(body["data"], json!([{ "id": "pln_gold", "name": "Gold" }]));
    let made = json!({ "name": "Plant", "external_reference_id": "plant" });
    let answer = server.request(reqwest::Method::POST, "/v1/groups").json(&made).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let body: Value = get("/v1/groups".into()).await.unwrap().json().await.unwrap();
    assert_eq!(body["pagination"]["total"], 2);
    let path = format!("/v1/groups/{}", server.group);
    let renamed = server.request(reqwest::Method::PATCH, &path).json(&json!({ "name": "Sales East" }));
    assert_eq!(renamed.send().await.unwrap().status(), 200);
    let body: Value = get(path).await.unwrap().json().await.unwrap();
    assert_eq!(body["data"]["name"], "Sales East");
    assert_eq!(get("/v1/members".into()).await.unwrap().status(), 404);
    let anonymous = server.client.get(format!("http://{}/v1/groups", server.address)).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
}

#[tokio::test]
async fn answers_that_stand_in_the_place_of_the_work() {
    let server = Server::new().await;
    for (fault, status) in [
        (Fault::RateLimitedSeconds, 429),
        (Fault::RateLimitedDate, 429),
        (Fault::RateLimitedBare, 429),
        (Fault::RateLimitedReset, 429),
        (Fault::Error500, 500),
        (Fault::Error502, 502),
        (Fault::Error503, 503),
        (Fault::Nested401, 401),
        (Fault::Html502, 502),
        (Fault::NotFound, 404),
    ] {
        server.misbehave(Rule::new(On::Submit, fault).after(Duration::from_millis(2_500)));
        let answer = server.submit().await.unwrap();
        assert_eq!(answer.status(), status, "{fault:?}");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (wait, reset) = (header("retry-after"), header("x-ratelimit-reset"));
        if matches!(fault, Fault::RateLimitedSeconds | Fault::Error503) {
            assert_eq!(wait.as_deref(), Some("3"), "{fault:?}");
        } else if fault == Fault::RateLimitedDate {
            chrono::DateTime::parse_from_rfc2822(&wait.unwrap()).unwrap();
        } else if fault == Fault::RateLimitedReset {
            assert!(1_700_000_000 < reset.unwrap().parse::<i64>().unwrap());
        } else {
            assert_eq!((wait, reset), (None, None), "{fault:?}");
        }
        let is_html = header("content-type").unwrap().starts_with("text/html");
        assert_eq!(is_html, fault == Fault::Html502);
        if fault == Fault::Nested401 {
            assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], "unauthorized");
        }
    }
    server.misbehave(Rule::new(On::Submit, Fault::Status).status(418));
    assert_eq!(server.submit().await.unwrap().status(), 418);
    assert_eq!(server.accepted(), 0, "nothing was done");
}

#[tokio::test]
async fn a_reset_cuts_the_connection_before_or_after_the_work() {
    let server = Server::new().await;
    for (fault, accepted) in [(Fault::Reset, 0), (Fault::AcceptThenReset, 1)] {
        server.misbehave(Rule::new(On::Submit, fault));
        let error = server.submit().await.unwrap_err();
        assert!(is_reset(&error), "{fault:?}: {error:?}");
        assert_eq!(server.accepted(), accepted, "{fault:?}");
    }
    assert_eq!(server.submit().await.unwrap().status(), 202, "the next connection is fine");
    let statuses: Vec<_> = server.sandbox.calls().into_iter().map(|call| call.status).collect();
    assert_eq!(statuses, [None, None, Some(202)]);
}

#[tokio::test]
async fn a_reset_comes_before_the_body_was_sent() {
    let server = Server::new().await;
    server.misbehave(Rule::new(On::Submit, Fault::Reset));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer vit_apk_x\r\ncontent-length: 1000\r\n\r\n",
        server.sync_path()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn the_work_is_done_and_the_answer_spoiled() {
    let server = Server::new().await;
    server.misbehave(Rule::new(On::Submit, Fault::AcceptThen502));
    assert_eq!(server.submit().await.unwrap().status(), 502);

    server.misbehave(Rule::new(On::Submit, Fault::BrokenJson));
    let answer = server.submit().await.unwrap();
    assert_eq!(answer.status(), 202);
    let text = answer.text().await.unwrap();
    assert!(text.starts_with("{\"data\"") && serde_json::from_str::<Value>(&text).is_err(), "{text}");

    server.misbehave(Rule::new(On::Submit, Fault::HalfAnswer));
    let mut answer = server.submit().await.unwrap();
    assert_eq!(answer.status(), 202);
    let half = answer.chunk().await.unwrap().unwrap();
    assert!(half.starts_with(b"{\"data\""));
    assert!(answer.chunk().await.is_err(), "more was promised");

    server.misbehave(Rule::new(On::Submit, Fault::Slow));
    let error = server.submission().timeout(Duration::from_millis(200)).send().await.unwrap_err();
    assert!(error.is_timeout());

    server.misbehave(Rule::new(On::Submit, Fault::WrongGroup));
    let body: Value = server.submit().await.unwrap().json().await.unwrap();
    assert_ne!(body["data"]["group_id"], server.group);
    assert_eq!(server.accepted(), 5, "each was accepted");
}

#[tokio::test]
async fn a_large_body_gets_its_413() {
    let server = Server::new().await;
    let body = vec![b' '; 9 * 1024 * 1024];
    let request = server.request(reqwest::Method::POST, &server.sync_path());
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn it_stops_when_told_and_ends_every_connection() {
    let mut server = Server::new().await;
    server.misbehave(Rule::new(On::Submit, Fault::Slow));
    let (client, url) = (server.client.clone(), format!("http://{}{}", server.address, server.sync_path()));
    let mut waiting = JoinSet::new();
    waiting.spawn(client.post(url).bearer_auth("vit_apk_x").json(&roster(&[])).send());
    while server.accepted() == 0 {
        tokio::task::yield_now().await;
    }
    server.stop.send(()).unwrap();
    server.served.join_next().await.unwrap().unwrap().unwrap();
    assert!(waiting.join_next().await.unwrap().unwrap().is_err());
}
