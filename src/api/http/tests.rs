use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::{DateTime, TimeZone as _, Utc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

const KEY: &str = "vit_apk_MARKEDsecret";
const ACCEPTED: &str = r#"{"data":{"request_id":"grpmsr_A","group_id":"grp_B","accepted_at":"2026-10-05T14:00:00Z"}}"#;

/// Far more than any answer on loopback takes, so that a busy machine fails nothing.
const PATIENT: Duration = Duration::from_secs(30);

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 10, 5, 14, 0, 0).unwrap()
}

fn settings(base_url: &str) -> config::Api {
    config::Api {
        key_origin: None,
        base_url: base_url.to_owned(),
        key: Some(KEY.into()),
        connect_timeout: PATIENT,
        timeout: PATIENT,
        max_in_flight: 4,
        requests_per_second: 10_000.0,
        members_per_request: 5000,
        phone_format: PhoneFormat::National,
        ca_file: None,
        proxy: None,
    }
}

fn client(base_url: &str) -> HttpApi {
    HttpApi::new(&settings(base_url), Clock::simulated(now())).unwrap()
}

fn group_id() -> GroupId {
    GroupId::parse("grp_B").unwrap()
}

fn request_id() -> RequestId {
    RequestId::parse("grpmsr_A").unwrap()
}

async fn submit(api: &HttpApi) -> Result<Accepted, ApiError> {
    api.submit(&group_id(), Arc::new(Vec::new())).await
}

async fn poll(api: &HttpApi) -> Result<Progress, ApiError> {
    api.results(&group_id(), &request_id()).await
}

/// A server of this test on loopback; it ends with the test.
struct Server {
    base: String,
    _tasks: JoinSet<()>,
}

/// A well-behaved server whose answers the test decides.
async fn answering<F, R>(answer: F) -> Server
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: IntoResponse + 'static,
{
    let router = axum::Router::new().fallback(move |request: Request| {
        let response = answer(request).into_response();
        async move { response }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { base, _tasks: tasks }
}

/// What a misbehaving server does with every connection.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Closes it with the request unread.
    ResetUnread,
    /// Reads the request and closes.
    CloseAfterReading,
    /// Reads the request, says this and closes.
    Say(&'static str),
    /// Reads the request, says this and nothing more.
    SayAndHang(&'static str),
}

async fn faulty(fault: Fault) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(misbehave(stream, fault));
        }
    });
    Server { base, _tasks: tasks }
}

async fn misbehave(mut stream: TcpStream, fault: Fault) {
    match fault {
        Fault::ResetUnread => stream.readable().await.unwrap(),
        Fault::CloseAfterReading => read_request(&mut stream).await,
        Fault::Say(text) => {
            read_request(&mut stream).await;
            stream.write_all(text.as_bytes()).await.unwrap();
        }
        Fault::SayAndHang(text) => {
            read_request(&mut stream).await;
            stream.write_all(text.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        }
    }
}

/// Reads until the end of the head, or of the small body where there is one.
async fn read_request(stream: &mut TcpStream) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut buffer).await.unwrap();
        seen.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&seen);
        let whole = if text.starts_with("GET") { text.ends_with("\r\n\r\n") } else { text.ends_with('}') };
        if whole || n == 0 {
            return;
        }
    }
}

#[tokio::test]
async fn a_roster_goes_out_once_with_the_key_and_comes_back_as_accepted() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = answering(move |request| {
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        let line = format!("{} {}", request.method(), request.uri());
        log.lock().unwrap().push((
            line,
            header("authorization"),
            header("user-agent"),
            header("accept"),
            header("content-type"),
        ));
        (StatusCode::ACCEPTED, ACCEPTED)
    })
    .await;
    let accepted = submit(&client(&server.base)).await.unwrap();
    assert_eq!(accepted, Accepted { request_id: request_id(), accepted_at: now() });
    assert_eq!(
        *seen.lock().unwrap(),
        [(
            "POST /v1/groups/grp_B/members/sync".to_owned(),
            format!("Bearer {KEY}"),
            format!("rosterd/{}", env!("CARGO_PKG_VERSION")),
            "application/json".to_owned(),
            "application/json".to_owned(),
        )]
    );
}

#[tokio::test]
async fn ids_are_names_in_the_path_and_never_lead_elsewhere() {
    let server = answering(|request| (StatusCode::IM_A_TEAPOT, request.uri().to_string())).await;
    let api = client(&format!("{}/gateway/", server.base));
    for (id, path) in [
        ("a/b?c#d", "/gateway/v1/groups/a%2Fb%3Fc%23d"),
        ("ä %2e", "/gateway/v1/groups/%C3%A4%20%252e"),
        ("a\\b", "/gateway/v1/groups/a%5Cb"),
    ] {
        assert_eq!(api.url(&["v1", "groups", id]).unwrap().path(), path);
    }
    for id in [".", ".."] {
        assert_eq!(api.group(&GroupId::parse(id).unwrap()).await, Err(ApiError::NotFound));
    }
    assert_eq!(api.group(&group_id()).await, Err(ApiError::Unexpected { status: 418 }));
}

#[tokio::test]
async fn an_answer_that_breaks_is_lost_to_a_submit_and_nothing_to_a_question() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n{\"data\":{\"request_id\":";
    for fault in [Fault::ResetUnread, Fault::CloseAfterReading, Fault::Say("HTTP/1.1 20")] {
        let server = faulty(fault).await;
        let api = client(&server.base);
        let error = submit(&api).await.unwrap_err();
        assert!(matches!(error, ApiError::AnswerLost { status: None, .. }), "{fault:?}: {error:?}");
        let error = poll(&api).await.unwrap_err();
        assert!(matches!(error, ApiError::NotSent { .. }), "{fault:?}: {error:?}");
    }
    let server = faulty(Fault::Say(half)).await;
    let api = client(&server.base);
    let error = submit(&api).await.unwrap_err();
    assert!(matches!(error, ApiError::AnswerLost { status: Some(200), .. }), "{error:?}");
    assert_eq!(poll(&api).await, Err(ApiError::Later { status: 200, after: None }));
}

#[tokio::test]
async fn an_answer_that_is_too_slow_is_lost_to_a_submit_and_nothing_to_a_question() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n{\"data\":";
    for (said, status) in [("", None), (begun, Some(200))] {
        let server = faulty(Fault::SayAndHang(said)).await;
        let impatient = config::Api { timeout: Duration::from_millis(150), ..settings(&server.base) };
        let api = HttpApi::new(&impatient, Clock::simulated(now())).unwrap();
        let error = submit(&api).await.unwrap_err();
        assert!(matches!(&error, ApiError::AnswerLost { status: got, .. } if *got == status), "{error:?}");
        assert!(error.to_string().contains("time"), "{error}");
        let error = poll(&api).await.unwrap_err();
        assert!(matches!(error, ApiError::NotSent { .. } | ApiError::Later { status: 200, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_nobody_listens_to_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let api = client(&format!("http://{address}"));
    let expected = ApiError::NotSent { detail: format!("{address}: connection refused") };
    assert_eq!(submit(&api).await, Err(expected.clone()));
    assert_eq!(poll(&api).await, Err(expected));
}

#[tokio::test]
async fn a_roster_for_a_server_without_tls_was_not_sent() {
    let server = answering(|_| (StatusCode::ACCEPTED, ACCEPTED)).await;
    let ca_file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/http/test-ca.pem"));
    let base = server.base.replace("http://", "https://");
    // With an authority of its own the client can be made where the system has none.
    let settings = config::Api { ca_file, ..settings(&base) };
    let api = HttpApi::new(&settings, Clock::simulated(now())).unwrap();
    let error = submit(&api).await.unwrap_err();
    assert!(matches!(&error, ApiError::NotSent { detail } if detail.contains("TLS")), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let hits = Arc::new(Mutex::new(0));
    let count = Arc::clone(&hits);
    let server = answering(move |_| {
        *count.lock().unwrap() += 1;
        (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")])
    })
    .await;
    let api = client(&server.base);
    assert_eq!(submit(&api).await, Err(ApiError::Unexpected { status: 307 }));
    assert_eq!(poll(&api).await, Err(ApiError::Unexpected { status: 307 }));
    assert_eq!(*hits.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_gateways_page_and_a_wrong_key_are_told_by_their_status() {
    let server = answering(|_| (StatusCode::BAD_GATEWAY, "<html><h1>502</h1></html>")).await;
    let api = client(&server.base);
    let error = submit(&api).await.unwrap_err();
    assert!(matches!(error, ApiError::AnswerLost { status: Some(502), after: None, .. }), "{error:?}");
    assert_eq!(api.plans().await, Err(ApiError::Later { status: 502, after: None }));

    let nested = r#"{"error":{"code":"unauthorized","message":"Invalid or missing API key"}}"#;
    let server = answering(move |_| (StatusCode::UNAUTHORIZED, nested)).await;
    assert_eq!(submit(&client(&server.base)).await, Err(ApiError::Unauthorized { status: 401 }));
}

#[tokio::test]
async fn hints_to_wait_are_read_from_the_headers() {
    let reset: &'static str = (now().timestamp() + 600).to_string().leak();
    for (name, value, at_most, at_least) in [
        ("retry-after", "7", 7, 7),
        // The clock runs on while the answer travels.
        ("retry-after", "Mon, 05 Oct 2026 14:10:00 GMT", 600, 500),
        ("x-ratelimit-reset", reset, 600, 500),
        ("retry-after", "Tue, 06 Oct 2026 14:10:00 GMT", 3600, 3600),
    ] {
        let server = answering(move |_| (StatusCode::TOO_MANY_REQUESTS, [(name, value)])).await;
        let Err(ApiError::Later { status: 429, after: Some(after) }) = submit(&client(&server.base)).await else {
            panic!("{name}: {value}")
        };
        assert!((at_least..=at_most).contains(&after.as_secs()), "{name}: {value}: {after:?}");
    }
    let server = answering(|_| (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "30")])).await;
    let after = Some(Duration::from_secs(30));
    let Err(ApiError::AnswerLost { after: got, .. }) = submit(&client(&server.base)).await else { panic!() };
    assert_eq!(got, after);
}

#[tokio::test]
async fn a_huge_body_is_not_held() {
    let server = answering(|_| (StatusCode::OK, "x".repeat(100_000))).await;
    let api = HttpApi { max_body: 99_999, ..client(&server.base) };
    let error = submit(&api).await.unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
    assert_eq!(poll(&api).await, Err(ApiError::Later { status: 200, after: None }));

    let server = answering(|_| (StatusCode::BAD_REQUEST, "x".repeat(MAX_FAILURE_BODY * 3))).await;
    assert!(matches!(submit(&client(&server.base)).await, Err(ApiError::Refused { status: 400, .. })));
}

/// Ids, page by page.
type Pages = &'static [&'static [&'static str]];

/// The answer to `?limit=100&page=N`.
fn page_of(request: &Request, pages: Pages, total_pages: Option<usize>) -> String {
    let query = request.uri().query().unwrap();
    let page: usize = query.strip_prefix("limit=100&page=").unwrap().parse().unwrap();
    let ids = pages.get(page - 1).copied().unwrap_or_default();
    let data: Vec<_> = ids.iter().map(|id| serde_json::json!({"id": id, "name": id})).collect();
    match total_pages {
        Some(total) => serde_json::json!({"data": data, "pagination": {"page": page, "total_pages": total}}),
        None => serde_json::json!({"data": data}),
    }
    .to_string()
}

#[tokio::test]
async fn lists_are_read_to_their_end_and_each_item_once() {
    let all = ["a", "b", "c"];
    let cases: [(Pages, Option<usize>, usize); 6] = [
        (&[&["a", "b"], &["b", "c"]], Some(2), 2),
        // page numbers shift while groups are made: total_pages decides, not a full page
        (&[&["a"], &["b"], &["c"], &["never asked for"]], Some(3), 3),
        (&[&["a", "b"], &["c"], &[]], Some(9), 3),
        (&[&["a", "b"], &["c"]], None, 3),
        // a server that ignores the page number
        (&[&["a", "b", "c"], &["a", "b", "c"], &["a", "b", "c"]], None, 2),
        (&[&["a", "b", "c"]], Some(0), 1),
    ];
    for (pages, total_pages, requests) in cases {
        let hits = Arc::new(Mutex::new(0));
        let count = Arc::clone(&hits);
        let server = answering(move |request| {
            *count.lock().unwrap() += 1;
            page_of(&request, pages, total_pages)
        })
        .await;
        let groups = client(&server.base).groups().await.unwrap();
        assert_eq!(groups.iter().map(|group| group.id.as_str()).collect::<Vec<_>>(), all, "{pages:?}");
        assert_eq!(*hits.lock().unwrap(), requests, "{pages:?}");
    }
}

#[tokio::test]
async fn a_page_past_the_end_that_is_not_found_ends_the_list_but_the_first_does_not() {
    let server = answering(|request| match page_of(&request, &[&["p"]], None) {
        page if page.contains("[]") => (StatusCode::NOT_FOUND, String::new()),
        page => (StatusCode::OK, page),
    })
    .await;
    assert_eq!(client(&server.base).plans().await.unwrap().len(), 1);
    let server = answering(|_| StatusCode::NOT_FOUND).await;
    assert_eq!(client(&server.base).plans().await, Err(ApiError::NotFound));
}

#[tokio::test]
async fn groups_are_made_and_changed_under_their_own_id() {
    let server = answering(|request| {
        let id = if request.method() == "PATCH" { "grp_other" } else { "grp_B" };
        (StatusCode::CREATED, format!(r#"{{"data":{{"id":"{id}","name":"Sales","external_reference_id":"s"}}}}"#))
    })
    .await;
    let api = client(&server.base);
    let reference = GroupRef::parse("s").unwrap();
    assert_eq!(api.create_group(&reference, "Sales").await.unwrap().id, group_id());
    assert_eq!(api.group(&group_id()).await.unwrap().external_reference_id, Some(reference));
    let error = api.update_group(&group_id(), Some("Sales"), None).await.unwrap_err();
    assert!(matches!(error, ApiError::AnswerLost { status: Some(201), .. }), "{error:?}");
}

#[tokio::test]
async fn the_key_is_in_no_error_even_if_the_server_echoes_it() {
    for status in [200, 202, 302, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503] {
        let server = answering(move |request| {
            let key = request.headers()["authorization"].to_str().unwrap();
            let token = key.trim_start_matches("Bearer ");
            let body = serde_json::json!({"message": key, "trace_id": token, "app_error_code": token}).to_string();
            (StatusCode::from_u16(status).unwrap(), body)
        })
        .await;
        let api = client(&server.base);
        for shown in [
            format!("{api:?} {:?}", submit(&api).await),
            submit(&api).await.unwrap_err().to_string(),
            poll(&api).await.unwrap_err().to_string(),
            format!("{:?}", api.groups().await),
        ] {
            assert!(!shown.contains("MARKED") && !shown.contains("Bearer"), "{status}: {shown}");
        }
    }
}

#[tokio::test]
async fn requests_keep_to_the_rate_behind_a_burst_of_one_second() {
    let server = answering(|_| StatusCode::NOT_FOUND).await;
    let slow = config::Api { requests_per_second: 20.0, ..settings(&server.base) };
    let api = HttpApi::new(&slow, Clock::simulated(now())).unwrap();
    let begun = Instant::now();
    for _ in 0..26 {
        assert_eq!(poll(&api).await, Err(ApiError::NotFound));
    }
    // Twenty at once, six more one by one.
    assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn loopback_is_reached_past_the_configured_proxy() {
    let server = answering(|_| (StatusCode::ACCEPTED, ACCEPTED)).await;
    let settings = config::Api { proxy: Some("http://user:MARKED@127.0.0.1:1".to_owned()), ..settings(&server.base) };
    let api = HttpApi::new(&settings, Clock::simulated(now())).unwrap();
    assert!(submit(&api).await.is_ok());
}

type Change = fn(&mut config::Api);

#[tokio::test]
async fn settings_of_no_use_are_told_without_their_secrets() {
    let with = |change: Change| {
        let mut settings = settings("https://api.example");
        settings.ca_file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/http/test-ca.pem"));
        change(&mut settings);
        HttpApi::new(&settings, Clock::simulated(now()))
    };
    let cases: [(Change, &str); 14] = [
        (|api| api.base_url = "api.example".to_owned(), "api.base_url is not a URL"),
        (|api| api.base_url = "http://api.example".to_owned(), "only on this machine"),
        (|api| api.base_url = "http://127.0.0.1.api.example".to_owned(), "only on this machine"),
        (|api| api.base_url = "ftp://127.0.0.1".to_owned(), "neither https nor http"),
        (|api| api.base_url = "https://user:MARKED@api.example".to_owned(), "user name or a password"),
        (|api| api.base_url = "https://api.example/?MARKED".to_owned(), "goes on after its path"),
        (|api| api.key = Some(" ".into()), "line break"),
        (|api| api.key = Some("vit_apk_MARKED\nMARKED".into()), "line break"),
        (|api| api.ca_file = Some("/nonexistent/ca.pem".into()), "cannot be read"),
        (|api| api.ca_file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")), "no certificate"),
        (|api| api.proxy = Some("http://user:MARKED@".to_owned()), "api.proxy"),
        (|api| api.requests_per_second = 0.0, "requests_per_second"),
        (|api| api.requests_per_second = -1.0, "requests_per_second"),
        (|api| api.requests_per_second = f64::NAN, "requests_per_second"),
    ];
    for (change, expected) in cases {
        let error = with(change).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error} {error:?}").contains("MARKED"), "{error:?}");
    }
    let fine: [Change; 5] = [
        |_| {},
        |api| api.base_url = "http://localhost:8080".to_owned(),
        |api| api.base_url = "http://[::1]:8080".to_owned(),
        |api| api.proxy = Some("http://proxy.example:3128".to_owned()),
        // a key file usually ends in a line break
        |api| api.key = Some("vit_apk_x\n".into()),
    ];
    for change in fine {
        with(change).unwrap();
    }
}
