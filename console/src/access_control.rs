//! Who may see the pages, and who may decide on them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use axum::http::{HeaderMap, Method, StatusCode, header, uri::Authority};
use graph::{
    bounds::{self, MAX_TEXT_BYTES, TooLong},
    text::clean,
};
use schemas::{
    coverage::HoldState,
    raw::{Decision, DecisionKind, RawRecord},
};
use serde::Deserialize;
use service::kafka::decision::{self, Written};
use tracing::{info, warn};

pub use crate::assertions::{Assertions, Visitor};
use crate::{
    address::Address,
    assertions::NotLetIn,
    pages::Sources,
    query::{ask, text},
    refusal::Refusal,
};

/// Writes a decision, and says where it is. Blocks.
pub type Write = dyn Fn(&RawRecord) -> anyhow::Result<Written> + Send + Sync;

/// Who may see the pages, and who may decide on them.
#[derive(Clone, Default)]
pub struct AccessControl {
    /// How visitors are authenticated. Without it, the pages are served on loopback to everyone, without decisions.
    pub assertions: Option<Arc<Assertions>>,
    /// How a decision is written. While it is empty, decisions are not possible.
    pub write: Arc<OnceLock<Arc<Write>>>,
}

impl fmt::Debug for AccessControl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccessControl").field("assertions", &self.assertions).finish_non_exhaustive()
    }
}

/// The answer to somebody who has no access.
pub(crate) type Closed = (StatusCode, &'static str);

impl AccessControl {
    /// Who asks; `None` without an assertion.
    pub(crate) async fn visitor(&self, headers: &HeaderMap) -> Result<Option<Visitor>, Closed> {
        let Some(assertions) = &self.assertions else { return Ok(None) };
        match assertions.visitor(headers).await {
            Ok(visitor) => Ok(Some(visitor)),
            Err(reason) => {
                // Its text may be the assertion's.
                warn!("refused a request: {}", clean(&reason.to_string()));
                Err(match reason {
                    NotLetIn::Absent(_) | NotLetIn::Invalid(_) => {
                        (StatusCode::UNAUTHORIZED, "the proxy's assertion is missing or not valid\n")
                    }
                    NotLetIn::NoKeys(_) => {
                        (StatusCode::SERVICE_UNAVAILABLE, "the proxy's public keys are not known\n")
                    }
                    NotLetIn::NoRole(_) => (StatusCode::FORBIDDEN, "you have no role here\n"),
                })
            }
        }
    }

    /// Whether the page Holds takes decisions of somebody.
    pub(crate) fn opens_for(&self, visitor: Option<&Visitor>) -> bool {
        self.write.get().is_some() && visitor.is_some_and(|visitor| visitor.is_decider)
    }
}

/// Whether a page of ours sends the request. Browsers say so (`Sec-Fetch-Site`); over plain http some only name the page's
/// origin.
pub(crate) fn is_ours(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD) {
        return true;
    }
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = said("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = said(header::HOST.as_str()).and_then(|host| host.parse::<Authority>().ok());
    let origin = said(header::ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
    let origin = origin.and_then(|(_, authority)| authority.parse::<Authority>().ok());
    host.is_some() && host == origin
}

/// What the form of the page Holds sends.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Form {
    organization: String,
    collection: String,
    listing: String,
    kind: String,
    why: String,
}

/// Writes a decision about the holds of one collection up to a listing, and gives the page that says so.
pub(crate) async fn decide(
    sources: &Sources,
    write: Arc<Write>,
    visitor: Visitor,
    form: Form,
) -> Result<String, Refusal> {
    let kind = match form.kind.as_str() {
        "approve" => DecisionKind::Approve,
        "reject" => DecisionKind::Reject,
        _ => return Err(Refusal::bad("kind: write approve or reject".to_owned())),
    };
    let why = text(Some(&form.why)).ok_or_else(|| Refusal::bad("why: say the reason".to_owned()))?;
    let id = form.organization.clone();
    let organization = ask(&sources.store, move |view| {
        view.organization(&id)?.ok_or_else(|| Refusal::missing("There is no such organization.".to_owned()))
    });
    let organization = organization.await?;
    let is_shown = sources.now(|present| {
        let mut holds = present.organization(&organization.id).holds.values();
        holds.any(|hold| {
            hold.state == HoldState::Proposed
                && hold.collection == form.collection
                && hold.listing_id == form.listing
        })
    });
    if !is_shown {
        return Err(Refusal::Gone);
    }
    let by = visitor.subject;
    let decision = Decision {
        kind,
        collection: Some(form.collection),
        element_key: None,
        listing_id: Some(form.listing),
        by: by.clone(),
        why: Some(why.to_owned()),
        decided_ts_ms: (sources.now_ms)(),
    };
    let record = decision::record(&organization.id, organization.name.clone(), decision);
    if let Some(TooLong { field, bytes }) = bounds::too_long(&record) {
        let error = format!("{field} has {bytes} bytes; at most {MAX_TEXT_BYTES} are allowed");
        return Err(Refusal::bad(error));
    }
    let written = tokio::task::spawn_blocking(move || write(&record)).await;
    let written = written.map_err(|error| Refusal::failed(&error))?;
    let written = written.map_err(|error| Refusal::failed(error.as_ref()))?;
    info!(organization.id = organization.id, by, offset = written.offset, "wrote a decision");
    let address = Address::new("/holds").with("organization", &organization.id);
    Ok(address.with("wrote", written.offset.to_string()).to_string())
}
