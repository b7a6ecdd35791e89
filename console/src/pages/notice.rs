//! Pages that say why there is nothing else.

use askama::Template;

use super::Sources;
use crate::{
    address::Address,
    chrome::{Chrome, PageName},
    display,
    refusal::Refusal,
};

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticePage {
    chrome: Chrome,
    heading: &'static str,
    text: String,
    links: Vec<(String, String)>,
}

/// The page about a refusal.
pub(crate) fn page(refusal: &Refusal, sources: &Sources, path: &'static str) -> String {
    let (heading, text) = text(refusal);
    let chrome = Chrome::new(heading, PageName::Organizations, None, 0, sources.progress.notices());
    let mut links = Vec::new();
    if matches!(refusal, Refusal::WhichOrganization)
        && let Ok(all) = sources.store.organizations()
    {
        let link = |it: &crate::store::Organization| {
            (display::name(&it.name), Address::new(path).with("organization", &it.id).to_string())
        };
        links = all.iter().take(200).map(link).collect();
    }
    let page = NoticePage { chrome, heading, text, links };
    page.render().unwrap_or_else(|error| {
        tracing::error!("a page failed: {error}");
        heading.to_owned()
    })
}

pub(crate) fn text(refusal: &Refusal) -> (&'static str, String) {
    match refusal {
        Refusal::Bad(text) => ("This address cannot be understood", display::fitted(text, 500)),
        Refusal::Missing(text) => ("Not found", display::fitted(text, 500)),
        Refusal::Empty => (
            "There is no data yet",
            "The changes topic has no changes. Run the producer and the processor.".to_owned(),
        ),
        Refusal::WhichOrganization => ("Which organization?", String::new()),
        Refusal::Search(name) => ("Not found", format!("{:?} has no match or several.", display::name(name))),
        Refusal::Gone => (
            "Nothing is decided",
            "These deletions are no longer held, or a newer listing holds them. Reload the page Holds."
                .to_owned(),
        ),
        Refusal::Slow => ("This took too long", "Ask for less, or try again.".to_owned()),
        Refusal::Failed => ("This failed", "The console's log says why.".to_owned()),
    }
}
