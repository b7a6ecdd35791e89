//! A small client of the persister, and the objects that the tests upload.

use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};
use simulator::jupiterone::{GraphView, JupiterOne, Settings, start};

/// A running account and a client of it.
pub(crate) struct Account {
    pub(crate) server: JupiterOne,
    http: reqwest::Client,
}

/// Status and body of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) retry_after: Option<String>,
}

pub(crate) const SCOPE: &str = "nimbus";
pub(crate) const INSTANCE: &str = "3c1f6a52-8f7e-4d0c-9b1a-6f0f3c2b7a10";
pub(crate) const JOBS: &str = "/persister/synchronization/jobs";

impl Account {
    pub(crate) async fn open() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = start(settings, ([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { server, http }
    }

    /// A request with the account's credentials.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path)
            .header("JupiterOne-Account", self.server.account_id())
            .bearer_auth(self.server.api_key())
    }

    /// A request without credentials.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server.url()))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).await.expect("an answer")
    }

    /// Fails where the connection was cut.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// Starts a job and gives its path.
    pub(crate) async fn start(&self, body: &Value) -> String {
        let answer = self.post(JOBS, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        format!("{JOBS}/{}", answer.body["job"]["id"].as_str().expect("an id"))
    }

    /// Starts a DIFF job of [`SCOPE`].
    pub(crate) async fn start_diff(&self) -> String {
        self.start(&json!({"source": "api", "scope": SCOPE})).await
    }

    /// One whole job; gives it as finalize shows it.
    pub(crate) async fn sync(&self, start: &Value, upload: &Value, finalize: &Value) -> Value {
        let job = self.start(start).await;
        let answer = self.post(&format!("{job}/upload"), upload).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = self.post(&format!("{job}/finalize"), finalize).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["job"].clone()
    }

    /// One whole DIFF of a scope.
    pub(crate) async fn diff(&self, scope: &str, entities: &[Value], relationships: &[Value]) -> Value {
        let start = json!({"source": "api", "scope": scope, "syncMode": "DIFF"});
        let upload = json!({"entities": entities, "relationships": relationships});
        self.sync(&start, &upload, &json!({})).await
    }

    pub(crate) fn graph(&self) -> GraphView {
        self.server.graph(SCOPE)
    }
}

pub(crate) async fn send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get("retry-after").map(|value| value.to_str().expect("ASCII").to_owned());
    Ok(Answer { status, body: response.json().await?, retry_after })
}

pub(crate) fn account() -> Value {
    json!({"_key": "anthropic_account:org-1", "_type": "anthropic_account", "_class": ["Account"],
        "name": "Nimbus", "displayName": "Nimbus", "vendor": "Anthropic", "id": "org-1"})
}

pub(crate) fn user(id: &str) -> Value {
    json!({"_key": format!("anthropic_user:{id}"), "_type": "anthropic_user", "_class": ["User"],
        "name": id, "displayName": id, "email": [format!("{id}@nimbus.example")], "role": "user"})
}

pub(crate) fn has_user(id: &str) -> Value {
    json!({"_key": format!("anthropic_account:org-1|has|anthropic_user:{id}"),
        "_type": "anthropic_account_has_user", "_class": "HAS", "displayName": "HAS",
        "_fromEntityKey": "anthropic_account:org-1", "_toEntityKey": format!("anthropic_user:{id}")})
}

/// A copy with one property set.
pub(crate) fn set(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// A copy without one property.
pub(crate) fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().expect("an object").remove(name);
    object
}

pub(crate) fn keys(objects: &[Map<String, Value>]) -> Vec<&str> {
    objects.iter().filter_map(|object| object["_key"].as_str()).collect()
}
