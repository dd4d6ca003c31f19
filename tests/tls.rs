//! On the way to the API: certificates that are right, of nobody known, for somebody else, out of date and renewed; a proxy, honest
//! and not; names that nobody resolves; redirects. The real binary over real sockets. Whatever is wrong with the way, nothing
//! is sent, the export waits, and it goes on by itself.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio_rustls::TlsAcceptor;
    use tokio_util::sync::CancellationToken;

    use super::bench::{Bench, KEY, Settings, export};
    use rosterd::sandbox::script::Script;

    const EAST: &str = "hris-east";

    /// An authority that signs certificates.
    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        pem: String,
    }

    impl Authority {
        fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let pem = params.self_signed(&key).unwrap().pem();
            Self { issuer: Issuer::new(params, key), pem }
        }

        /// A certificate for a name, valid until the first day of that year.
        fn certifies(&self, name: &str, until: i32) -> Arc<ServerConfig> {
            rustls::crypto::ring::default_provider().install_default().ok();
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(until, 1, 1);
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            let config = ServerConfig::builder().with_no_client_auth();
            Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
        }
    }

    /// Answers connections on a thread of its own until it is dropped.
    struct Listener {
        address: SocketAddr,
        stop: CancellationToken,
        thread: Option<std::thread::JoinHandle<()>>,
    }

    impl Listener {
        fn start<F: Future<Output = ()> + 'static>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = listener.local_addr().unwrap();
            let stop = CancellationToken::new();
            let stopped = stop.clone();
            let thread = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, async {
                    let listener = TcpListener::from_std(listener).unwrap();
                    loop {
                        tokio::select! {
                            () = stopped.cancelled() => break,
                            Ok((stream, _)) = listener.accept() => drop(tokio::task::spawn_local(answer(stream))),
                        }
                    }
                });
            });
            Self { address, stop, thread: Some(thread) }
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            self.stop.cancel();
            if let Some(thread) = self.thread.take() {
                drop(thread.join());
            }
        }
    }

    async fn joined(mut a: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr) {
        if let Ok(mut b) = TcpStream::connect(to).await {
            drop(copy_bidirectional(&mut a, &mut b).await);
        }
    }

    /// A sandbox behind TLS, and what its clients are configured with.
    struct Secured {
        bench: Bench,
        authority: Authority,
        certificate: Arc<Mutex<Arc<ServerConfig>>>,
        /// Ends the connections that are open.
        cut: Arc<Notify>,
        door: Listener,
        plain_url: String,
    }

    impl Secured {
        fn new(name: &str, until: i32) -> Self {
            let settings = Settings { timeout: "10s", ..Settings::default() };
            let bench = Bench::with(&settings, Script::default());
            let authority = Authority::new();
            let certificate = Arc::new(Mutex::new(authority.certifies(name, until)));
            let api: SocketAddr = bench.server.url.trim_start_matches("http://").parse().unwrap();
            let cut = Arc::new(Notify::new());
            let (shown, ends) = (Arc::clone(&certificate), Arc::clone(&cut));
            let door = Listener::start(move |stream| {
                let (shown, ends) = (Arc::clone(&shown.lock().unwrap()), Arc::clone(&ends));
                async move {
                    let Ok(stream) = TlsAcceptor::from(shown).accept(stream).await else { return };
                    tokio::select! {
                        () = joined(stream, api) => {}
                        () = ends.notified() => {}
                    }
                }
            });
            std::fs::write(bench.path("ca.pem"), &authority.pem).unwrap();
            let plain_url = bench.server.url.clone();
            let secured = Self { bench, authority, certificate, cut, door, plain_url };
            secured.configure(&format!("https://localhost:{}", secured.door.address.port()), &secured.trust());
            secured
        }

        fn trust(&self) -> String {
            format!("ca_file = \"{}\"\n", self.bench.path("ca.pem").display())
        }

        /// Another way to the API; `more` are lines of `[api]`.
        fn configure(&self, url: &str, more: &str) {
            self.bench.configure(&Settings { timeout: "10s", ..Settings::default() });
            let path = self.bench.path("config.toml");
            let text = std::fs::read_to_string(&path).unwrap();
            let text =
                text.replace(&format!("base_url = \"{}\"\n", self.plain_url), &format!("base_url = \"{url}\"\n{more}"));
            assert!(text.contains(url), "{text}");
            std::fs::write(path, text).unwrap();
        }

        fn show(&self, name: &str, until: i32) {
            *self.certificate.lock().unwrap() = self.authority.certifies(name, until);
            self.cut.notify_waiters();
        }

        /// A daemon that knows its groups meets what `breaks` does, says this, and sends nothing; the export goes out after `mends`.
        fn waits(&self, breaks: impl FnOnce(), saying: &str, mends: impl FnOnce()) {
            let daemon = self.bench.daemon();
            self.bench.drop("one.csv", &export(&["E1", "E2"]));
            self.bench.run_of("one.csv", &["completed"]);
            breaks();
            let calls = self.bench.sandbox().calls().len();
            self.bench.drop("two.csv", &export(&["E1", "E2", "E3"]));
            daemon.hears(saying);
            assert_eq!(self.bench.run_of("two.csv", &["delivering"])["state"], "delivering");
            assert_eq!(self.bench.sandbox().calls().len(), calls, "something was sent");
            mends();
            self.bench.run_of("two.csv", &["completed"]);
            self.bench.holds(EAST, &["E1", "E2", "E3"]);
            assert!(!daemon.log().contains(KEY));
        }
    }

    #[test]
    fn an_authority_of_the_house_is_trusted_where_the_config_names_it_and_only_there() {
        let secured = Secured::new("localhost", 2090);
        secured.bench.sync("one.csv", &export(&["E1", "E2"])).ends_with(0);
        secured.bench.holds(EAST, &["E1", "E2"]);

        let url = format!("https://localhost:{}", secured.door.address.port());
        secured.configure(&url, "");
        let calls = secured.bench.sandbox().calls().len();
        let said = secured.bench.run(&["groups", "list"]);
        assert!(said.code != 0 && said.err.contains("TLS: ") && said.err.contains("certificate"), "{said:?}");
        assert_eq!(secured.bench.sandbox().calls().len(), calls);
    }

    #[test]
    fn a_certificate_that_expires_under_way_stops_everything_until_it_is_renewed() {
        let secured = Secured::new("localhost", 2090);
        let renew = || secured.show("localhost", 2090);
        secured.waits(|| secured.show("localhost", 2020), "certificate expired", renew);
    }

    #[test]
    fn a_certificate_for_another_host_is_refused() {
        let secured = Secured::new("localhost", 2090);
        let mend = || secured.show("localhost", 2090);
        secured.waits(|| secured.show("other.example", 2090), "certificate not valid for name", mend);
    }

    #[test]
    fn a_name_that_nobody_resolves_is_told_and_waited_for() {
        let secured = Secured::new("localhost", 2090);
        secured.configure("https://api.invalid", &secured.trust());
        let said = secured.bench.run(&["groups", "list"]);
        assert!(said.code != 0 && said.err.contains("api.invalid:443: the name cannot be resolved"), "{said:?}");
    }

    #[test]
    fn a_proxy_carries_what_it_cannot_read_and_one_that_answers_itself_is_waited_out() {
        let secured = Secured::new("api.vitable.example", 2090);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (seen, door) = (Arc::clone(&heard), secured.door.address);
        let is_ill = Arc::new(AtomicBool::new(false));
        let left = Arc::clone(&is_ill);
        let proxy = Listener::start(move |mut stream| {
            let (seen, left) = (Arc::clone(&seen), Arc::clone(&left));
            async move {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    asked.push(byte);
                }
                seen.lock().unwrap().extend(asked);
                if left.load(Ordering::SeqCst) {
                    let page = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
                    drop(stream.write_all(page).await);
                } else {
                    drop(stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await);
                    joined(stream, door).await;
                }
            }
        });
        let more = format!("{}proxy = \"http://{}\"\n", secured.trust(), proxy.address);
        secured.configure("https://api.vitable.example", &more);
        let falls_ill = || {
            is_ill.store(true, Ordering::SeqCst);
            secured.cut.notify_waiters();
        };
        secured.waits(falls_ill, "api.vitable.example:443", || is_ill.store(false, Ordering::SeqCst));
        let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
        assert!(heard.contains("CONNECT api.vitable.example:443 HTTP/1.1"), "{heard}");
        assert!(!heard.contains(KEY) && !heard.contains("Bearer"), "{heard}");
    }

    #[test]
    fn a_redirect_is_not_followed_and_the_key_goes_to_no_other_host() {
        let secured = Secured::new("localhost", 2090);
        let strangers = Arc::new(AtomicUsize::new(0));
        let met = Arc::clone(&strangers);
        let stranger = Listener::start(move |_| {
            met.fetch_add(1, Ordering::SeqCst);
            async {}
        });
        let to = stranger.address;
        let moved = Listener::start(move |mut stream| async move {
            let mut asked = [0; 4096];
            drop(stream.read(&mut asked).await);
            let answer =
                format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n");
            drop(stream.write_all(answer.as_bytes()).await);
        });
        secured.configure(&format!("http://{}", moved.address), "");
        let said = secured.bench.run(&["groups", "list"]);
        assert!(said.code != 0 && said.err.contains("307"), "{said:?}");
        assert_eq!(strangers.load(Ordering::SeqCst), 0);
    }
}
