//! HTTP and nothing else: what the ends allow.

use std::{
    collections::BTreeSet,
    io::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, write::GzEncoder};
use futures::stream::{self, TryStreamExt as _};
use reqwest::{Client, RequestBuilder, header::CONTENT_ENCODING, header::CONTENT_TYPE};
use serde_json::{Value, json};
use simulator::jupiterone::JupiterOne;

use crate::ends::{AnthropicEnd, JupiterOneEnd};

/// Largest body before it is compressed (bytes), as the sink's.
const MAX_BODY_BYTES: usize = 5_000_000;
/// Bodies on their way at once, as the sink's.
const UPLOADS_AT_ONCE: usize = 4;

/// A client without any settings.
pub(crate) fn client() -> Result<Client> {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().context("cannot set up HTTP")
}

/// Fetches these paths one after the other, as a poll does; how many resources there are, and how long it took.
pub(crate) fn fetch(client: &Client, end: &AnthropicEnd, paths: &[String]) -> Result<(u64, Duration)> {
    let anthropic = &end.anthropic;
    end.runtime.block_on(async {
        let began = Instant::now();
        let mut pages = Vec::new();
        for path in paths {
            let request = client.get(format!("{}{path}", anthropic.url()));
            let request =
                request.header("x-api-key", anthropic.admin_key()).header("anthropic-version", "2023-06-01");
            pages.push(request.send().await?.error_for_status()?.bytes().await?.to_vec());
        }
        let took = began.elapsed();
        Ok((resources(paths, &pages)?, took))
    })
}

/// How many resources these pages have. A poll lists the workspaces twice, with and without the default one.
fn resources(paths: &[String], pages: &[Vec<u8>]) -> Result<u64> {
    let mut resources = BTreeSet::new();
    for (path, page) in paths.iter().zip(pages) {
        let page: Value = serde_json::from_slice(page).context("a page is not JSON")?;
        let (collection, _) = path.split_once('?').unwrap_or((path, ""));
        // A page without a list is a single resource.
        let rows = page["data"].as_array().map_or(std::slice::from_ref(&page), Vec::as_slice);
        for row in rows {
            let id = row["id"].as_str().or(row["user_id"].as_str()).context("a resource has an ID")?;
            resources.insert((collection, id.to_owned()));
        }
    }
    Ok(resources.len() as u64)
}

/// A request's body, ready to be sent.
pub(crate) struct Body {
    kind: &'static str,
    gzip: Vec<u8>,
}

/// All bodies of these objects, the entities' first.
pub(crate) fn bodies(objects: &[Vec<Value>; 2]) -> Result<Vec<Body>> {
    let mut bodies = Vec::new();
    for (kind, objects) in ["entities", "relationships"].into_iter().zip(objects) {
        let mut open = String::new();
        for object in objects {
            let object = object.to_string();
            if !open.is_empty() && open.len() + object.len() > MAX_BODY_BYTES {
                bodies.push(Body::of(kind, &std::mem::take(&mut open))?);
            }
            if !open.is_empty() {
                open.push(',');
            }
            open.push_str(&object);
        }
        bodies.push(Body::of(kind, &open)?);
    }
    Ok(bodies)
}

impl Body {
    fn of(kind: &'static str, objects: &str) -> Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        write!(encoder, "{{\"{kind}\":[{objects}]}}")?;
        Ok(Self { kind, gzip: encoder.finish()? })
    }
}

/// Uploads these bodies into a scope: a sync job from its start to its end.
pub(crate) fn upload(client: &Client, end: &JupiterOneEnd, scope: &str, bodies: &[Body]) -> Result<()> {
    let jupiterone = &end.jupiterone;
    let jobs = format!("{}/persister/synchronization/jobs", jupiterone.url());
    let number = AtomicU64::new(0);
    end.runtime.block_on(async {
        let start = json!({ "source": "api", "scope": scope, "syncMode": "DIFF" });
        let job = answer(authorized(client.post(&jobs), jupiterone).json(&start)).await?;
        let id = job["id"].as_str().context("a job has an ID")?.to_owned();
        stream::iter(bodies.iter().map(Ok::<_, anyhow::Error>))
            .try_for_each_concurrent(UPLOADS_AT_ONCE, |body| {
                let request = authorized(client.post(format!("{jobs}/{id}/{}", body.kind)), jupiterone);
                let number = number.fetch_add(1, Ordering::Relaxed);
                let request = request
                    .header("JupiterOne-Correlation-Id", format!("{id}-{number}"))
                    .header(CONTENT_TYPE, "application/json")
                    .header(CONTENT_ENCODING, "gzip")
                    .body(body.gzip.clone());
                async move { answer(request).await.map(drop) }
            })
            .await?;
        let end = json!({ "partialDatasets": { "types": [] } });
        let job =
            answer(authorized(client.post(format!("{jobs}/{id}/finalize")), jupiterone).json(&end)).await?;
        ensure!(job["status"] == "FINISHED", "the sync job is not finished: {job}");
        Ok(())
    })
}

fn authorized(request: RequestBuilder, jupiterone: &JupiterOne) -> RequestBuilder {
    request.header("JupiterOne-Account", jupiterone.account_id()).bearer_auth(jupiterone.api_key())
}

/// The job that the answer shows.
async fn answer(request: RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let answer: Value = response.json().await?;
    ensure!(status.is_success(), "JupiterOne's end answered {status}: {answer}");
    Ok(answer["job"].clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_resource_that_is_listed_twice_counts_once() {
        let pages = [
            ("/me", json!({ "id": "o" })),
            ("/workspaces?default=true", json!({ "data": [{ "id": "a" }, { "id": "b" }] })),
            ("/workspaces", json!({ "data": [{ "id": "a" }] })),
            ("/a/members", json!({ "data": [{ "user_id": "u" }] })),
            ("/b/members", json!({ "data": [{ "user_id": "u" }] })),
        ];
        let (paths, pages): (Vec<_>, Vec<_>) =
            pages.into_iter().map(|(path, page)| (path.to_owned(), page.to_string().into_bytes())).unzip();
        assert_eq!(super::resources(&paths, &pages).expect("pages"), 5);
    }
}
