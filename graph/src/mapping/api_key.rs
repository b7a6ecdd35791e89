//! An API key: the entity, user CREATED API key and workspace HAS API key.

use schemas::{
    codec::Digest,
    element::{ApiKey, Content, Element, ElementType, Ends},
    encoded::EncodedElement,
    raw::{self, Actor, Extra},
};
use serde::Deserialize;

use super::{Context, epoch_ms, first_filled};

const USER: &str = "user";
const SERVICE_ACCOUNT: &str = "service_account";
/// `scope.type` of a key that belongs to no workspace.
const ORGANIZATION: &str = "organization";

pub(super) fn elements(context: &Context, resource: Digest, api_key: &raw::ApiKey) -> Vec<Element> {
    let columns = columns(api_key);
    let relationships: Vec<Content> = relationships(&columns).collect();
    let contents = std::iter::once(Content::ApiKey(Box::new(columns))).chain(relationships);
    contents.map(|content| context.element(content, resource)).collect()
}

/// The relationships that lead to a key with these columns.
pub(super) fn relationships(columns: &ApiKey) -> impl Iterator<Item = Content> {
    let ends = |from_key| Ends { from_key, to_key: ElementType::ApiKey.entity_key(&columns.id) };
    let created = user(columns.created_by.as_deref(), columns.creator_type.as_deref());
    let created = created.map(|id| Content::UserCreatedApiKey(ends(ElementType::User.entity_key(id))));
    let has = columns.workspace_id.as_ref();
    let has = has.map(|id| Content::WorkspaceHasApiKey(ends(ElementType::Workspace.entity_key(id))));
    created.into_iter().chain(has)
}

/// The columns of an API key that name others, read without the rest of its element.
#[derive(Deserialize)]
pub(crate) struct References<'a> {
    created_by: Option<&'a str>,
    creator_type: Option<&'a str>,
    principal_id: Option<&'a str>,
    principal_type: Option<&'a str>,
    workspace_id: Option<&'a str>,
}

impl<'a> References<'a> {
    /// Those of an element; `None` if it is not an API key.
    pub(crate) fn of(element: &'a EncodedElement) -> Option<Self> {
        #[derive(Deserialize)]
        struct Part<'a> {
            #[serde(borrow)]
            api_key: Option<References<'a>>,
        }
        element.part::<Part>().api_key
    }

    /// The ID of the user whom the key acts as, or else of the user who created it.
    pub(crate) fn user(&self) -> Option<&'a str> {
        user(self.principal_id, self.principal_type).or_else(|| user(self.created_by, self.creator_type))
    }

    /// How many relationships lead to the key.
    pub(super) fn relationship_count(&self) -> usize {
        let created = user(self.created_by, self.creator_type);
        usize::from(created.is_some()) + usize::from(self.workspace_id.is_some())
    }
}

/// The ID of an actor, if it is a user.
fn user<'a>(id: Option<&'a str>, kind: Option<&str>) -> Option<&'a str> {
    id.filter(|_| kind == Some(USER))
}

/// Whether the resource says where the key belongs: to a workspace with an ID, or to the whole organization. If it does
/// not, the listing is silent about the key's HAS relationship.
pub(crate) fn tells_place(api_key: &raw::ApiKey) -> bool {
    let scope = api_key.scope.as_ref();
    scope.is_some_and(|scope| scope.kind.as_deref() == Some(ORGANIZATION)) || place(api_key).1.is_some()
}

fn columns(api_key: &raw::ApiKey) -> ApiKey {
    let creator = actor(api_key.created_by.as_ref(), &api_key.extra, "created_by");
    let principal = actor(api_key.principal.as_ref(), &api_key.extra, "principal");
    let (scope, workspace_id) = place(api_key);
    ApiKey {
        id: api_key.id.clone(),
        name: first_filled([api_key.name.as_deref(), Some(&api_key.id)]),
        partial_key_hint: api_key.partial_key_hint.clone(),
        active: api_key.status.as_deref() == Some("active"),
        status: api_key.status.clone(),
        created_on: api_key.created_at.as_deref().and_then(epoch_ms),
        expires_on: api_key.expires_at.as_deref().and_then(epoch_ms),
        created_by: creator.id,
        creator_type: creator.kind,
        principal_id: principal.id,
        principal_type: principal.kind,
        scope,
        workspace_id,
    }
}

/// Who made a key, or as whom it acts, in the words of all generations. The API has sent an object with `id` and `type`,
/// and one with `user_id` or `service_account_id`. A string has no column, so it is in `extra`.
fn actor(sent: Option<&Actor>, extra: &Extra, name: &str) -> Actor {
    let as_text = || {
        let text = extra.get(name)?.strip_prefix('"')?.strip_suffix('"')?;
        kind_of_id(text).map(|_| Actor { id: Some(text.to_owned()), kind: None })
    };
    let Some(Actor { id, kind }) = sent.cloned().or_else(as_text) else { return Actor::default() };
    // A type that is not a string says something else than the ID's prefix.
    let is_untyped = !extra.contains_key(&format!("{name}.type"));
    let by_id = || id.as_deref().filter(|_| is_untyped).and_then(kind_of_id).map(str::to_owned);
    Actor { kind: kind.map(actor_kind).or_else(by_id), id }
}

/// Generation 2 sends `user` where later ones send `user_actor`: one word, so that a new generation does not look like a
/// change.
fn actor_kind(kind: String) -> String {
    match kind.as_str() {
        "user_actor" => USER.to_owned(),
        "service_account_actor" => SERVICE_ACCOUNT.to_owned(),
        _ => kind,
    }
}

/// What an actor's ID says of its type.
fn kind_of_id(id: &str) -> Option<&'static str> {
    let prefixes = [("user_", USER), ("svac_", SERVICE_ACCOUNT)];
    prefixes.into_iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, kind)| kind)
}

/// Scope and workspace. Generations 1 and 2 have no scope, and a null `workspace_id` of theirs may be the default
/// workspace or the whole organization.
fn place(api_key: &raw::ApiKey) -> (Option<String>, Option<String>) {
    let raw::Scope { kind, workspace_id } = api_key.scope.clone().unwrap_or_default();
    let is_organization = kind.as_deref() == Some(ORGANIZATION);
    let fallback = api_key.workspace_id.as_ref().filter(|_| !is_organization);
    let workspace_id = workspace_id.or_else(|| fallback.cloned());
    (kind.or_else(|| workspace_id.as_ref().map(|_| "workspace".to_owned())), workspace_id)
}
