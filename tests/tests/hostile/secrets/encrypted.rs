//! The same over TLS and HTTP/2, whose libraries have logs of their own, by servers that give the key back wherever an
//! answer has room for it; and through a proxy that asks for a password.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use tests::stub::Stub;

use super::Watched;
use super::marks::Marks;

const CERTIFICATE: &[u8] = include_bytes!("../../../../service/tests/tls/server.pem");
const KEY: &[u8] = include_bytes!("../../../../service/tests/tls/server.key");
const PROXY_PASSWORD: &str = "proxy-Pw-7gH2kM9qR4tX1zB6vN3c";

/// RFC 9113, section 6.
mod frame {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GO_AWAY: u8 = 7;
    pub(super) const ACK: u8 = 1;
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
    /// Of a GOAWAY frame: the client must not try again at once.
    pub(super) const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];
}

/// What a request meets.
#[derive(Clone)]
enum Reply {
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection's end, and what the server says about it.
    GoAway(String),
}

/// A server on loopback that speaks HTTP/2 over TLS and nothing else. Dropping it stops it.
struct Encrypted {
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Encrypted {
    /// Meets the requests with these replies in turn, and with the last one from then on.
    fn start(replies: Vec<Reply>) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions of ring's")
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .expect("the key of the certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (answered, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (config, replies) = (Arc::new(config), Arc::new(replies));
        let (count, end) = (Arc::clone(&answered), Arc::clone(&is_over));
        thread::spawn(move || {
            for socket in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                let Ok(socket) = socket else { continue };
                let (count, replies) = (Arc::clone(&count), Arc::clone(&replies));
                thread::spawn(move || {
                    // A client that closes the connection has seen enough.
                    let _ = converse(&mut StreamOwned::new(connection, socket), &replies, &count);
                });
            }
        });
        Self { address, answered, is_over }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn converse(stream: &mut (impl Read + Write), replies: &[Reply], count: &AtomicUsize) -> io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    send(stream, frame::SETTINGS, 0, 0, &[])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [high, middle, low, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        stream.read_exact(&mut payload)?;
        match kind {
            frame::SETTINGS if flags & frame::ACK == 0 => send(stream, kind, frame::ACK, 0, &[])?,
            frame::PING if flags & frame::ACK == 0 => send(stream, kind, frame::ACK, 0, &payload)?,
            frame::HEADERS | frame::DATA if flags & frame::END_STREAM != 0 => {
                let number = count.fetch_add(1, Ordering::SeqCst);
                match &replies[number.min(replies.len() - 1)] {
                    Reply::Answer(status, headers, body) => {
                        answer(stream, u32::from_be_bytes(id), *status, headers, body)?;
                    }
                    Reply::GoAway(words) => {
                        // The last stream that was looked at: none.
                        let payload = [&[0; 4], &frame::ENHANCE_YOUR_CALM[..], words.as_bytes()].concat();
                        return send(stream, frame::GO_AWAY, 0, 0, &payload);
                    }
                }
            }
            frame::GO_AWAY => return Ok(()),
            _ => {}
        }
    }
}

fn answer(
    stream: &mut impl Write,
    id: u32,
    status: u16,
    headers: &[(&'static str, String)],
    body: &str,
) -> io::Result<()> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
        [&[length.expect("a length in one byte")], text.as_bytes()].concat()
    };
    // RFC 7541, section 6.2.2: literals without indexing, the first by the name of entry 8 (`:status`).
    let mut block = [vec![8], text(&status.to_string())].concat();
    for (name, value) in headers {
        block.extend([vec![0], text(name), text(value)].concat());
    }
    send(stream, frame::HEADERS, frame::END_HEADERS, id, &block)?;
    send(stream, frame::DATA, frame::END_STREAM, id, body.as_bytes())
}

fn send(stream: &mut impl Write, kind: u8, flags: u8, id: u32, payload: &[u8]) -> io::Result<()> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let head = [&length[..], &[kind, flags], &id.to_be_bytes()].concat();
    stream.write_all(&[&head[..], payload].concat())?;
    stream.flush()
}

/// An answer that has the key wherever a service may look.
fn with_key(status: u16, key: &str) -> Reply {
    let headers = vec![("request-id", key.to_owned()), ("anthropic-organization-id", key.to_owned())];
    let body = json!({ "error": { "type": key, "code": key, "message": format!("what is {key}?") },
        "id": key, "type": "organization", "name": key, "data": [], "has_more": false });
    Reply::Answer(status, headers, body.to_string())
}

#[test]
fn over_tls_and_http_2_no_key_is_shown_whatever_is_answered() {
    let watched = Watched::start();
    watched.round("all is well", &[]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../service/tests/tls/root.pem");
    let root = root.display().to_string();
    let (admin, jupiterone) = (watched.world.anthropic[0].admin_key(), watched.world.jupiterone.api_key());
    let run = |what: &str, service: &'static str, arguments: &[&str], replies: Vec<Reply>| {
        let server = Encrypted::start(replies);
        let url = server.url();
        let base_url = match service {
            "producer" => "ANTHROPIC_GRAPH__ORGANIZATIONS__ORGANIZATION_1__BASE_URL",
            _ => "ANTHROPIC_GRAPH__JUPITERONE__BASE_URL",
        };
        let environment = [(base_url, &*url), ("ANTHROPIC_GRAPH__HTTP__ROOT_CERTIFICATE", &*root)];
        let written = watched.run(what, service, arguments, &environment);
        assert!(server.answered() > 0, "{what} was asked by {service}: {written}");
        written
    };
    for status in [200, 401, 404] {
        run(&format!("{status} with the key"), "producer", &["poll"], vec![with_key(status, admin)]);
        run(&format!("{status} with the key"), "producer", &["check"], vec![with_key(status, admin)]);
    }
    for status in [401, 404, 409] {
        run(
            &format!("{status} with the key"),
            "anthropic-graph",
            &["sync", "resync"],
            vec![with_key(status, jupiterone)],
        );
        run(&format!("{status} with the key"), "sink", &["check"], vec![with_key(status, jupiterone)]);
    }
    let end = |key: &str| Reply::GoAway(format!("no more of {key}"));
    let written = run("the connection's end", "producer", &["poll"], vec![end(admin), with_key(404, admin)]);
    assert!(written.contains("no more of"), "the end's words are in no log: {written}");
    run(
        "the connection's end",
        "anthropic-graph",
        &["sync", "resync"],
        vec![end(jupiterone), with_key(404, jupiterone)],
    );
    watched.look_into_topics();
}

#[test]
fn an_untrusted_certificate_is_reported_with_a_next_step_and_no_request_is_made() {
    let watched = Watched::start();
    watched.round("all is well", &[]);
    let server = Encrypted::start(vec![Reply::Answer(200, Vec::new(), String::new())]);
    let url = server.url();
    let admin = [("ANTHROPIC_GRAPH__ORGANIZATIONS__ORGANIZATION_1__BASE_URL", &*url)];
    let jupiterone = [("ANTHROPIC_GRAPH__JUPITERONE__BASE_URL", &*url)];
    for (service, command, base_url) in
        [("producer", "poll", admin), ("producer", "check", admin), ("sink", "check", jupiterone)]
    {
        let quiet = [("RUST_LOG", "info")];
        let more: Vec<_> = base_url.into_iter().chain(quiet).collect();
        let written = watched.run("a certificate that nobody trusts", service, &[command], &more);
        for part in
            ["certificate is not trusted", "invalid peer certificate: UnknownIssuer", "http.root_certificate"]
        {
            assert!(written.contains(part), "{service} {command} does not say {part:?}: {written}");
        }
    }
    assert_eq!(server.answered(), 0, "the key is sent to nobody who is not trusted");
    watched.look_into_topics();
}

#[test]
fn a_job_whose_id_or_status_is_a_part_of_the_key_is_shown_nowhere() {
    let watched = Watched::start();
    watched.round("all is well", &[]);
    let key = watched.world.jupiterone.api_key();
    for (id, status) in
        [(key, "AWAITING_UPLOADS"), (&key[9..17], "FINISHED"), ("job-1", key), ("job-1", &key[9..17])]
    {
        let body = json!({ "job": { "id": id, "status": status } }).to_string();
        let stub = Stub::start(move |_| (200, Vec::new(), body.clone()));
        let url = stub.url();
        let environment = [("ANTHROPIC_GRAPH__JUPITERONE__BASE_URL", &*url)];
        watched.run("a job requested with the key", "anthropic-graph", &["sync", "resync"], &environment);
        assert!(!stub.requests().is_empty(), "it was asked");
    }
    watched.look_into_topics();
}

#[test]
fn a_proxy_s_password_is_not_shown() {
    let watched = Watched::start();
    let marks = Marks::of([PROXY_PASSWORD.to_owned()]);
    let proxy = Stub::start(|_| (407, vec![("proxy-authenticate", "Basic".to_owned())], String::new()));
    let through = proxy.url().replace("http://", &format!("http://graph:{PROXY_PASSWORD}@"));
    for (service, base_url) in [
        ("producer", "ANTHROPIC_GRAPH__ORGANIZATIONS__ORGANIZATION_1__BASE_URL"),
        ("sink", "ANTHROPIC_GRAPH__JUPITERONE__BASE_URL"),
    ] {
        let environment = [(base_url, "https://elsewhere.example"), ("HTTPS_PROXY", &through)];
        let written = watched.run("a proxy that refuses", service, &["check"], &environment);
        marks.look(&format!("{service} through a proxy"), written.as_bytes());
    }
    assert!(proxy.requests().iter().any(|request| request.starts_with("CONNECT elsewhere.example")));
}
