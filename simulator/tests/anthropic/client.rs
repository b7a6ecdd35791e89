//! A plain HTTP client of a freshly started organization.

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use simulator::anthropic::{self, Anthropic, Settings};

/// An organization and a client that has its key.
pub(crate) struct Client {
    pub(crate) anthropic: Anthropic,
    pub(crate) http: reqwest::Client,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) async fn client(settings: Settings) -> Client {
    // Installed by whichever test comes first; the others find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let anthropic =
        anthropic::start(settings, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("starts");
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
    Client { anthropic, http: http.expect("a plain client builds") }
}

impl Client {
    /// A GET below `/v1/organizations/` with key and version.
    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<Answer> {
        self.try_get_in("2023-06-01", path).await
    }

    async fn try_get_in(&self, version: &str, path: &str) -> reqwest::Result<Answer> {
        let url = format!("{}/v1/organizations/{path}", self.anthropic.url());
        let request = self.http.get(url).header("x-api-key", self.anthropic.admin_key());
        read(request.header("anthropic-version", version).send().await?).await
    }

    /// The same in another version of the API.
    pub(crate) async fn get_in(&self, version: &str, path: &str) -> Answer {
        self.try_get_in(version, path).await.expect("the request is answered with JSON")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.expect("the request is answered with JSON")
    }

    /// A request below `/_simulator/`.
    pub(crate) async fn control(&self, method: Method, path: &str, body: &str) -> Answer {
        let url = format!("{}/_simulator/{path}", self.anthropic.url());
        let response = self.http.request(method, url).body(body.to_owned()).send().await.expect("answered");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a text");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
        Answer { status, headers, body }
    }

    /// All ids of a list, page after page of `limit`, forward.
    pub(crate) async fn ids(&self, list: &str, limit: usize) -> Vec<String> {
        let mut ids = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{list}limit={limit}{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.body);
            let rows = ids_of(&page.body);
            assert_eq!(page.body["first_id"].as_str(), rows.first().map(String::as_str));
            assert_eq!(page.body["last_id"].as_str(), rows.last().map(String::as_str));
            ids.extend(rows);
            if page.body["has_more"] == false {
                return ids;
            }
            cursor = format!("&after_id={}", page.body["last_id"].as_str().expect("a cursor"));
        }
    }
}

/// The ids of a page's rows; a member's is its user's.
pub(crate) fn ids_of(page: &Value) -> Vec<String> {
    let rows = page["data"].as_array().expect("data is an array").iter();
    let id = |row: &Value| row.get("id").unwrap_or(&row["user_id"]).as_str().expect("an id").to_owned();
    rows.map(id).collect()
}

pub(crate) async fn read(response: reqwest::Response) -> reqwest::Result<Answer> {
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Answer { status, headers, body: response.json().await? })
}
