//! What an address asks for.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use graph::access::{At, Moment, Question};
use serde::Deserialize;

use crate::{
    address::Address,
    refusal::Refusal,
    store::{Named, NamedType, Organization, Store, View},
};

/// Longest string of a parameter that is looked at (bytes): an ID or a name of the API is not longer.
const MOST_TEXT: usize = 5_000;

/// The parameters of all pages. An empty one is as if absent: a form sends those too.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Parameters {
    pub(crate) organization: Option<String>,
    pub(crate) at: Option<String>,
    pub(crate) workspace: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) q: Option<String>,
    pub(crate) page: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) op: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) listing: Option<String>,
    pub(crate) decided: Option<String>,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    /// The offset of a decision that was written a moment ago.
    pub(crate) wrote: Option<String>,
}

/// In which form to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Html,
    Json,
    Csv,
}

/// The organization and the moment that a page is about.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) organization: Organization,
    /// Its value in an address: the name, unless another organization has it too.
    pub(crate) called: String,
    pub(crate) moment: Moment,
    pub(crate) now_ms: i64,
}

/// A time that the page may take until it is answered.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn text(parameter: Option<&String>) -> Option<&str> {
    parameter.map(|text| text.trim()).filter(|text| !text.is_empty() && text.len() <= MOST_TEXT)
}

impl Parameters {
    /// `format`, or what the client accepts: a browser accepts HTML before anything else.
    pub(crate) fn format(&self, headers: &HeaderMap) -> Result<Format, Refusal> {
        match text(self.format.as_ref()) {
            Some("html") => Ok(Format::Html),
            Some("json") => Ok(Format::Json),
            Some("csv") => Ok(Format::Csv),
            Some(other) => Err(Refusal::bad(format!("format: {other:?} is not html, json or csv"))),
            None => {
                let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
                let wants = |kind: &str| accept.split(',').any(|it| it.trim().starts_with(kind));
                Ok(if wants("text/html") {
                    Format::Html
                } else if wants("application/json") {
                    Format::Json
                } else if wants("text/csv") {
                    Format::Csv
                } else {
                    Format::Html
                })
            }
        }
    }

    /// The page of a list, from 1.
    pub(crate) fn page(&self) -> Result<usize, Refusal> {
        let Some(page) = text(self.page.as_ref()) else { return Ok(1) };
        let page = page.parse().ok().filter(|page| *page >= 1);
        page.ok_or_else(|| Refusal::bad("page: write a number from 1".to_owned()))
    }

    /// The organization and the moment. Without a name it is the only one there is.
    pub(crate) fn scope(&self, view: &View<'_>, now_ms: i64) -> Result<Scope, Refusal> {
        let all = view.organizations()?;
        let organization = match text(self.organization.as_ref()) {
            Some(asked) => view.organization(asked)?.ok_or_else(|| {
                Refusal::missing(format!("There is no organization {asked:?} in the changes topic."))
            })?,
            None => match all.as_slice() {
                [] => return Err(Refusal::Empty),
                [only] => only.clone(),
                _ => return Err(Refusal::WhichOrganization),
            },
        };
        let at = text(self.at.as_ref()).unwrap_or("now");
        let moment = at.parse::<At>().and_then(|at| at.moment(now_ms));
        let moment = moment.map_err(|error| Refusal::bad(format!("at: {error}")))?;
        let is_unique = all.iter().filter(|it| it.name == organization.name).count() == 1;
        let called = if is_unique { organization.name.clone() } else { organization.id.clone() };
        Ok(Scope { organization, called, moment, now_ms })
    }

    /// What is named, with IDs for names.
    pub(crate) fn question(&self, view: &View<'_>, scope: &Scope) -> Result<Question, Refusal> {
        let id = |kind, parameter: &Option<String>| {
            text(parameter.as_ref()).map(|text| find(view, scope, kind, text)).transpose()
        };
        Ok(Question {
            workspace: id(NamedType::Workspace, &self.workspace)?,
            user: id(NamedType::User, &self.user)?,
            api_key: id(NamedType::ApiKey, &self.api_key)?,
        })
    }
}

/// The ID of what has that ID, or is the only one of that name.
fn find(view: &View<'_>, scope: &Scope, kind: NamedType, text: &str) -> Result<String, Refusal> {
    if view.find(&scope.organization, kind, text, scope.moment)?.is_some() {
        return Ok(text.to_owned());
    }
    let mut found = view.search(&scope.organization, text, scope.moment, 50)?;
    let folded = text.to_lowercase();
    let is_named = |it: &Named| {
        it.name.to_lowercase() == folded || it.detail.as_ref().is_some_and(|it| it.to_lowercase() == folded)
    };
    found.retain(|it| it.kind == kind && is_named(it));
    match found.as_slice() {
        [one] => Ok(one.id.clone()),
        _ => Err(Refusal::Search(text.to_owned())),
    }
}

impl Scope {
    /// A page about the same organization at the same moment.
    pub(crate) fn address(&self, path: &'static str) -> Address {
        let at = match self.moment {
            Moment::Now => None,
            Moment::Revision(revision) => Some(revision.to_string()),
            Moment::Time(ts_ms) => {
                let exact = jiff::Timestamp::from_millisecond(ts_ms);
                Some(exact.map_or_else(|_| ts_ms.to_string(), |time| time.to_string()))
            }
        };
        Address::new(path).with("organization", &self.called).with_some("at", at)
    }
}

/// Asks the store on a thread that may wait.
pub(crate) async fn ask<T: Send + 'static>(
    store: &Store,
    question: impl FnOnce(&View<'_>) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let store = store.clone();
    let asked = tokio::task::spawn_blocking(move || store.view(|view| Ok(question(view))));
    match tokio::time::timeout(DEADLINE, asked).await {
        Ok(Ok(answer)) => answer?,
        Ok(Err(error)) => Err(Refusal::failed(&error)),
        Err(_) => Err(Refusal::Slow),
    }
}
