//! A simulated organization with a client of it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use producer::admin::{Admin, Error, Failure};
use producer::listing::{Listing, list};
use schemas::collection::Collection;
use service::api::Retry;
use service::config::{Config, Organization};
use service::http::{Settings as HttpSettings, client};
use simulator::anthropic::{self, Answer, Anthropic, Fault, LoggedRequest, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Longest wait for an answer in a test of slow answers; far above what loopback takes.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Tries without waits to speak of.
pub(crate) const QUICK: Retry =
    Retry { tries: 3, first: Duration::from_millis(1), longest: Duration::from_millis(20) };

/// Both ends of a test.
pub(crate) struct End {
    pub(crate) anthropic: Anthropic,
    pub(crate) admin: Admin,
}

impl End {
    /// An organization of that make, and a client with its key.
    pub(crate) async fn start(settings: Settings) -> Self {
        let anthropic = start(settings).await;
        let key = anthropic.admin_key().to_owned();
        let admin = admin(&anthropic.url(), &key, "env = \"KEY\"", Path::new(""));
        Self { anthropic, admin }
    }

    /// One of the usual make with a fault.
    pub(crate) async fn with(fault: Fault) -> Self {
        let end = Self::start(Settings::default()).await;
        end.anthropic.fault(fault);
        end
    }

    pub(crate) async fn list(&mut self, collection: &Collection) -> Result<Listing, Error> {
        list(&mut self.admin, collection).await
    }

    /// The listing that fails alone, and why.
    pub(crate) async fn failure(&mut self, collection: &Collection) -> Failure {
        match self.list(collection).await {
            Err(Error::FailListing(failure)) => failure,
            other => panic!("expected a listing that fails alone, not {:?}", other.map(|it| it.pages)),
        }
    }

    /// Why the organization stops.
    pub(crate) async fn stop(&mut self, collection: &Collection) -> Failure {
        match self.list(collection).await {
            Err(Error::StopOrganization(failure)) => failure,
            other => panic!("expected the organization to stop, not {:?}", other.map(|it| it.pages)),
        }
    }

    /// What the client sent, each a GET.
    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        let requests = self.anthropic.requests();
        assert!(requests.iter().all(|request| request.method == "GET"), "{requests:?}");
        requests
    }
}

/// The address of a server that answers each connection with status 200 and so many spaces, and how many it had.
pub(crate) async fn spaces(bytes: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{}", " ".repeat(bytes));
        while let Ok((mut connection, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 4096];
            // The client hangs up where it has enough.
            let _ = connection.read(&mut request).await;
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    (url, connections)
}

/// The address of a server that answers each path with status 200, what `answer` makes of it and no header of
/// Anthropic's, as after a gateway that drops them; and the requested paths.
pub(crate) async fn written(
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let length = connection.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]);
            let path = request.split([' ', '?']).nth(1).unwrap_or_default();
            noted.lock().expect("not poisoned").push(path.to_owned());
            let body = answer(path);
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            // The client hangs up where it has enough.
            let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    (url, asked)
}

pub(crate) async fn start(settings: Settings) -> Anthropic {
    anthropic::start(settings, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a simulator")
}

/// The listing of users fails, alone, with that fault; how often was it asked for?
pub(crate) async fn users_fail(answer: Answer) -> (Failure, usize) {
    let mut end = End::with(Fault::on("users", answer)).await;
    let failure = end.failure(&Collection::Users).await;
    (failure, end.requests().len())
}

/// A client whose key is where `place`, TOML within braces, says.
pub(crate) fn admin(url: &str, key: &str, place: &str, folder: &Path) -> Admin {
    let environment = BTreeMap::from([("KEY".to_owned(), key.to_owned())]);
    let config = config(url, place, folder, &environment);
    let key = config.admin_keys(&environment).expect("a key").remove("nimbus").expect("its key");
    let organization: &Organization = &config.organizations[0];
    let http = client(HttpSettings {
        base_url: &organization.base_url,
        root_certificate: None,
        request_timeout: REQUEST_TIMEOUT,
        what: "test",
    });
    Admin::new(http.expect("a client"), organization, key, Arc::new(environment), QUICK)
}

pub(crate) fn config(
    url: &str,
    place: &str,
    folder: &Path,
    environment: &BTreeMap<String, String>,
) -> Config {
    let text = format!(
        r#"
        [kafka]
        bootstrap_servers = "127.0.0.1:1"
        [[organizations]]
        name = "nimbus"
        account_name = "Nimbus Labs"
        base_url = "{url}"
        requests_per_minute = 60000
        api_key = {{ {place} }}
        "#
    );
    Config::from_toml(&text, folder, environment).expect("a configuration")
}
