//! What every page has around its content.

use crate::{address::Address, display, query::Scope};

/// Which page it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageName {
    Organizations,
    Access,
    Changes,
    Holds,
    JupiterOne,
}

/// What every page has around its content.
#[derive(Debug, Clone)]
pub(crate) struct Chrome {
    pub(crate) title: String,
    pub(crate) links: Vec<Link>,
    pub(crate) organization: Option<String>,
    pub(crate) notices: Vec<String>,
}

/// A link to a page.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) text: &'static str,
    pub(crate) href: String,
    pub(crate) is_current: bool,
    pub(crate) count: Option<usize>,
}

impl Chrome {
    /// Around a page. `holds` is how many deletions of the organization wait for a decision.
    pub(crate) fn new(
        title: &str,
        current: PageName,
        scope: Option<&Scope>,
        holds: usize,
        notices: Vec<String>,
    ) -> Self {
        let address =
            |path| scope.map_or_else(|| Address::new(path), |scope| scope.address(path)).to_string();
        let link = |text, page, path, count: usize| Link {
            text,
            href: address(path),
            is_current: page == current,
            count: Some(count).filter(|count| *count > 0),
        };
        let links = vec![
            Link { href: "/".to_owned(), ..link("Organizations", PageName::Organizations, "/", 0) },
            link("Access", PageName::Access, "/access", 0),
            link("Changes", PageName::Changes, "/changes", 0),
            link("Holds", PageName::Holds, "/holds", holds),
            link("JupiterOne", PageName::JupiterOne, "/jupiterone", 0),
        ];
        let organization = scope.map(|scope| display::name(&scope.organization.name));
        Self { title: title.to_owned(), links, organization, notices }
    }
}
