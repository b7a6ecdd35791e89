//! From a resource to its elements (`docs/mapping.md`). Pure.

mod api_key;
mod size;
mod timestamp;
mod user;
mod workspace;

use schemas::{
    codec::Digest,
    collection::Collection,
    element::{Account, Content, Element, ElementType, Ends, UserAssignedWorkspace},
    encoded::EncodedElement,
    raw::{Configuration, Member, Organization, Resource},
};

pub(crate) use api_key::{References, tells_place};
pub use size::{MAX_ELEMENT_BYTES, MAX_KEY_BYTES};
pub(crate) use size::{is_surely_small, too_large};
pub use timestamp::epoch_ms;

/// Raised whenever the same resource maps to another element than before. The next whole listing then maps everything
/// again.
pub const VERSION: u32 = 2;

const VENDOR: &str = "Anthropic";

/// What an element depends on besides its resource.
#[derive(Debug)]
pub struct Context<'a> {
    pub organization_id: &'a str,
    /// The collection that was listed.
    pub collection: &'a Collection,
    account_name: Option<&'a str>,
    digest: Digest,
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
        let digest = Digest::of(parts.iter().map(String::as_bytes));
        Self { organization_id, collection, account_name, digest }
    }

    /// Names what an element depends on besides its resource.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The element of the resource that says this.
    fn element(&self, content: Content, resource: Digest) -> Element {
        let is_entity = content.ends()[0].is_none();
        Element {
            digest: format!("{resource}.{}", self.digest),
            account_name: self.account_name.filter(|_| is_entity).map(str::to_owned),
            ..Element::new(self.organization_id, &self.collection.to_string(), content)
        }
    }
}

/// Whether only the mapping or the configuration made the difference between two elements. The digest does not show where
/// fields that are not mapped have changed since it was taken, so a difference in the tag alone counts by itself.
pub fn is_configured(before: &Element, after: &Element) -> bool {
    let resource = |element: &Element| element.digest.split_once('.').map(|(own, _)| own.to_owned());
    let (account_name, digest) = (after.account_name.clone(), after.digest.clone());
    resource(before) == resource(after) || Element { account_name, digest, ..before.clone() } == *after
}

/// The elements that one resource of the context's collection, named by its digest, stands for: the resource's own
/// element, then relationships that end there. None if the resource is of another collection.
pub fn elements(context: &Context, resource: &Resource, digest: Digest) -> Vec<Element> {
    match (resource, context.collection) {
        (Resource::Organization(it), Collection::Organization) => vec![context.element(account(it), digest)],
        (Resource::User(it), Collection::Users) => user::elements(context, digest, it),
        (Resource::Workspace(it), Collection::Workspaces) => workspace::elements(context, digest, it),
        (Resource::ApiKey(it), Collection::ApiKeys) => api_key::elements(context, digest, it),
        (Resource::Member(it), Collection::Members(workspace_id)) => {
            vec![context.element(assigned(it, workspace_id), digest)]
        }
        (
            Resource::Organization(_)
            | Resource::User(_)
            | Resource::Workspace(_)
            | Resource::ApiKey(_)
            | Resource::Member(_),
            _,
        ) => Vec::new(),
    }
}

/// The key of the element that is the own one of the resource of that ID.
pub(crate) fn own_key(collection: &Collection, id: &str) -> String {
    match collection {
        Collection::Organization => ElementType::Account.entity_key(id),
        Collection::Users => ElementType::User.entity_key(id),
        Collection::Workspaces => ElementType::Workspace.entity_key(id),
        Collection::ApiKeys => ElementType::ApiKey.entity_key(id),
        Collection::Members(workspace_id) => {
            let Ends { from_key, to_key } = assigned_ends(id, workspace_id);
            ElementType::UserAssignedWorkspace.relationship_key(&from_key, &to_key)
        }
    }
}

/// Keys of the relationships that a resource is mapped to besides its own element, which is this one.
pub(crate) fn own_relationships(element: &Element) -> Vec<String> {
    let Element { key, organization_id, .. } = element;
    match &element.content {
        Content::User(_) => vec![user::relationship(organization_id, key.clone()).key()],
        Content::Workspace(_) => vec![workspace::relationship(organization_id, key.clone()).key()],
        Content::ApiKey(columns) => api_key::relationships(columns).map(|it| it.key()).collect(),
        Content::Account(_)
        | Content::AccountHasUser(_)
        | Content::AccountHasWorkspace(_)
        | Content::UserAssignedWorkspace(..)
        | Content::UserCreatedApiKey(_)
        | Content::WorkspaceHasApiKey(_)
        | Content::Other(_) => Vec::new(),
    }
}

/// How many of them there are.
pub(crate) fn relationship_count(element: &EncodedElement) -> usize {
    match ElementType::parse(element.kind()) {
        Some(ElementType::User | ElementType::Workspace) => 1,
        Some(ElementType::ApiKey) => References::of(element).map_or(0, |it| it.relationship_count()),
        Some(
            ElementType::Account
            | ElementType::AccountHasUser
            | ElementType::AccountHasWorkspace
            | ElementType::UserAssignedWorkspace
            | ElementType::UserCreatedApiKey
            | ElementType::WorkspaceHasApiKey,
        )
        | None => 0,
    }
}

fn account(organization: &Organization) -> Content {
    let id = &organization.id;
    let name = first_filled([organization.name.as_deref(), Some(id)]);
    Content::Account(Account { id: id.clone(), name, vendor: VENDOR.to_owned() })
}

fn assigned(member: &Member, workspace_id: &str) -> Content {
    let columns = UserAssignedWorkspace { role: member.workspace_role.clone() };
    Content::UserAssignedWorkspace(assigned_ends(&member.user_id, workspace_id), columns)
}

fn assigned_ends(user_id: &str, workspace_id: &str) -> Ends {
    Ends {
        from_key: ElementType::User.entity_key(user_id),
        to_key: ElementType::Workspace.entity_key(workspace_id),
    }
}

/// The first string that is not empty; the empty string if there is none.
fn first_filled<const N: usize>(texts: [Option<&str>; N]) -> String {
    texts.into_iter().flatten().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use schemas::{
        element::{ApiKey, Content, Element, User},
        encoded::EncodedElement,
    };

    use super::{own_relationships, relationship_count};

    #[test]
    fn the_relationships_of_an_encoded_element_are_as_many_as_those_of_the_decoded_one() {
        let mut contents = vec![Content::User(User::default().into())];
        for created_by in [None, Some("user_01")] {
            for creator_type in [None, Some("user"), Some("service_account")] {
                for workspace_id in [None, Some("wrkspc_01")] {
                    let [created_by, creator_type, workspace_id] =
                        [created_by, creator_type, workspace_id].map(|text| text.map(str::to_owned));
                    let columns = ApiKey { created_by, creator_type, workspace_id, ..ApiKey::default() };
                    contents.push(Content::ApiKey(columns.into()));
                }
            }
        }
        let mut counts = Vec::new();
        for content in contents {
            let element = Element::new("organization", "collection", content);
            let count = relationship_count(&EncodedElement::of(&element));
            assert_eq!(count, own_relationships(&element).len(), "{element:?}");
            counts.push(count);
        }
        counts.sort_unstable();
        assert_eq!((counts.first(), counts.last()), (Some(&0), Some(&2)));
    }
}
