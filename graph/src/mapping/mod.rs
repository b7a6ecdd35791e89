//! From a resource to the elements that it stands for (`docs/mapping.md`). Pure.

mod api_key;
mod size;
mod timestamp;
mod user;
mod workspace;

use schemas::{
    codec::{Raw, digest},
    collection::Collection,
    element::{Account, Element, ElementType, UserAssignedWorkspace},
    raw::{Configuration, Member, Organization},
};

pub(crate) use api_key::tells_place;
pub(crate) use size::too_large;
pub use size::{MAX_ELEMENT_BYTES, MAX_KEY_BYTES};
pub use timestamp::epoch_ms;

/// Raised whenever the same resource maps to another element than before. The next whole listing then maps everything
/// again.
pub const VERSION: u32 = 2;

const VENDOR: &str = "Anthropic";

/// What an element depends on beside its resource.
#[derive(Debug)]
pub struct Context<'a> {
    /// The organization's id.
    pub organization_id: &'a str,
    /// The collection that was listed.
    pub collection: &'a Collection,
    account_name: Option<&'a str>,
    digest: String,
}

impl<'a> Context<'a> {
    /// The context of a listing with that configuration.
    pub fn new(
        organization_id: &'a str,
        collection: &'a Collection,
        configuration: &'a Configuration,
    ) -> Self {
        let account_name = configuration.account_name.as_deref().filter(|_| configuration.tag_account_name);
        let parts =
            [VERSION.to_string(), account_name.map_or_else(String::new, |name| format!("tag:{name}"))];
        Self { organization_id, collection, account_name, digest: digest(parts.iter().map(String::as_bytes)) }
    }

    fn element_digest(&self, raw: &Raw) -> String {
        format!("{}.{}", raw.resource_digest, self.digest)
    }

    fn account_key(&self) -> String {
        ElementType::Account.entity_key(self.organization_id)
    }

    fn entity(&self, kind: ElementType, id: &str, name: &str, raw: &Raw) -> Element {
        Element {
            account_name: self.account_name.map(str::to_owned),
            ..self.bare(kind, kind.entity_key(id), name, raw)
        }
    }

    fn relationship(&self, kind: ElementType, from_key: &str, to_key: &str, raw: &Raw) -> Element {
        Element {
            from_key: Some(from_key.to_owned()),
            to_key: Some(to_key.to_owned()),
            ..self.bare(kind, kind.relationship_key(from_key, to_key), kind.class(), raw)
        }
    }

    fn bare(&self, kind: ElementType, key: String, display_name: &str, raw: &Raw) -> Element {
        Element {
            key,
            kind: kind.name().to_owned(),
            class: kind.class().to_owned(),
            display_name: display_name.to_owned(),
            organization_id: self.organization_id.to_owned(),
            collection: self.collection.to_string(),
            digest: self.element_digest(raw),
            from_key: None,
            to_key: None,
            account_name: None,
            account: None,
            user: None,
            workspace: None,
            api_key: None,
            user_assigned_workspace: None,
        }
    }
}

/// Whether only the mapping or the configuration made the difference between two elements. The digest does not tell where
/// fields that are not mapped have changed since it was taken, so a difference in the tag alone counts by itself.
pub fn is_configured(before: &Element, after: &Element) -> bool {
    let resource = |element: &Element| element.digest.split_once('.').map(|(own, _)| own.to_owned());
    let retagged = || Element { account_name: after.account_name.clone(), ..before.clone() };
    resource(before) == resource(after) || retagged().same_as(after)
}

/// The elements that one resource of the context's collection stands for: none if it is of another collection.
pub fn elements(context: &Context, raw: &Raw) -> Vec<Element> {
    let Some(resource) = &raw.record.resource else { return Vec::new() };
    match context.collection {
        Collection::Organization => {
            resource.organization.iter().map(|it| account(context, raw, it)).collect()
        }
        Collection::Users => resource.user.iter().flat_map(|it| user::elements(context, raw, it)).collect(),
        Collection::Workspaces => {
            resource.workspace.iter().flat_map(|it| workspace::elements(context, raw, it)).collect()
        }
        Collection::ApiKeys => {
            resource.api_key.iter().flat_map(|it| api_key::elements(context, raw, it)).collect()
        }
        Collection::Members(workspace_id) => {
            resource.member.iter().map(|it| assigned(context, raw, it, workspace_id)).collect()
        }
    }
}

fn account(context: &Context, raw: &Raw, organization: &Organization) -> Element {
    let id = &organization.id;
    let name = first_filled([organization.name.as_deref(), Some(id)]);
    Element {
        account: Some(Account { id: id.clone(), name: name.clone(), vendor: VENDOR.to_owned() }),
        ..context.entity(ElementType::Account, id, &name, raw)
    }
}

fn assigned(context: &Context, raw: &Raw, member: &Member, workspace_id: &str) -> Element {
    let user_key = ElementType::User.entity_key(&member.user_id);
    let workspace_key = ElementType::Workspace.entity_key(workspace_id);
    Element {
        user_assigned_workspace: Some(UserAssignedWorkspace { role: member.workspace_role.clone() }),
        ..context.relationship(ElementType::UserAssignedWorkspace, &user_key, &workspace_key, raw)
    }
}

/// The first text that is not empty; the empty text if there is none.
fn first_filled<const N: usize>(texts: [Option<&str>; N]) -> String {
    texts.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}
