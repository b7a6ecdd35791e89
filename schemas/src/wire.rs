//! Records as their schemas have them, where the domain has an enum in the place of nullable fields of which one is set.
//!
//! The type parameters are strings and records: borrowed to write, owned to read.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    element::{self, Columns, Content, ElementType, Ends, Other},
    raw::{self, ApiKey, Decision, Manifest, Mark, Member, Misfit, Organization, RawBody, User, Workspace},
};

/// `avro/raw_record.avsc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RawRecord<Text, Mark, Manifest, Decision, Resource> {
    organization_id: Text,
    organization_name: Text,
    collection: Text,
    poll_id: Option<Text>,
    listing_id: Option<Text>,
    observed_ts_ms: i64,
    mark: Option<Mark>,
    manifest: Option<Manifest>,
    decision: Option<Decision>,
    resource: Option<Resource>,
}

/// The record `Resource` of `avro/raw_record.avsc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resource<Organization, User, Workspace, ApiKey, Member> {
    organization: Option<Organization>,
    user: Option<User>,
    workspace: Option<Workspace>,
    api_key: Option<ApiKey>,
    member: Option<Member>,
}

/// A raw record that was read.
pub(crate) type ReadRawRecord = RawRecord<String, Mark, Manifest, Decision, ReadResource>;
/// A resource that was read.
pub(crate) type ReadResource =
    Resource<Box<Organization>, Box<User>, Box<Workspace>, Box<ApiKey>, Box<Member>>;

type WrittenRawRecord<'a> = RawRecord<&'a str, &'a Mark, &'a Manifest, &'a Decision, WrittenResource<'a>>;
type WrittenResource<'a> = Resource<&'a Organization, &'a User, &'a Workspace, &'a ApiKey, &'a Member>;

/// `avro/element.avsc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Element<Text, Account, User, Workspace, ApiKey, UserAssignedWorkspace> {
    key: Text,
    #[serde(rename = "type")]
    kind: Text,
    class: Text,
    display_name: Text,
    organization_id: Text,
    collection: Text,
    digest: Text,
    from_key: Option<Text>,
    to_key: Option<Text>,
    account_name: Option<Text>,
    account: Option<Account>,
    user: Option<User>,
    workspace: Option<Workspace>,
    api_key: Option<ApiKey>,
    user_assigned_workspace: Option<UserAssignedWorkspace>,
}

type ReadElement = Element<
    String,
    element::Account,
    Box<element::User>,
    Box<element::Workspace>,
    Box<element::ApiKey>,
    element::UserAssignedWorkspace,
>;
type WrittenElement<'a> = Element<
    &'a str,
    &'a element::Account,
    &'a element::User,
    &'a element::Workspace,
    &'a element::ApiKey,
    &'a element::UserAssignedWorkspace,
>;

impl<'a> From<&'a raw::RawRecord> for WrittenRawRecord<'a> {
    fn from(record: &'a raw::RawRecord) -> Self {
        let raw::RawRecord {
            organization_id,
            organization_name,
            collection,
            poll_id,
            listing_id,
            observed_ts_ms,
            body,
        } = record;
        let mut written = Self {
            organization_id,
            organization_name,
            collection,
            poll_id: poll_id.as_deref(),
            listing_id: listing_id.as_deref(),
            observed_ts_ms: *observed_ts_ms,
            mark: None,
            manifest: None,
            decision: None,
            resource: None,
        };
        match body {
            RawBody::Mark(mark) => written.mark = Some(mark),
            RawBody::Manifest(manifest) => written.manifest = Some(manifest),
            RawBody::Decision(decision) => written.decision = Some(decision),
            RawBody::Resource(resource) => written.resource = Some(resource.into()),
        }
        written
    }
}

impl<'a> From<&'a raw::Resource> for WrittenResource<'a> {
    fn from(resource: &'a raw::Resource) -> Self {
        let mut written =
            Self { organization: None, user: None, workspace: None, api_key: None, member: None };
        match resource {
            raw::Resource::Organization(it) => written.organization = Some(it),
            raw::Resource::User(it) => written.user = Some(it),
            raw::Resource::Workspace(it) => written.workspace = Some(it),
            raw::Resource::ApiKey(it) => written.api_key = Some(it),
            raw::Resource::Member(it) => written.member = Some(it),
        }
        written
    }
}

impl TryFrom<ReadRawRecord> for raw::RawRecord {
    type Error = Misfit;

    fn try_from(read: ReadRawRecord) -> Result<Self, Misfit> {
        let body = match (read.mark, read.manifest, read.decision, read.resource) {
            (Some(mark), None, None, None) => RawBody::Mark(mark),
            (None, Some(manifest), None, None) => RawBody::Manifest(manifest),
            (None, None, Some(decision), None) => RawBody::Decision(decision),
            (None, None, None, Some(resource)) => {
                let resource = raw::Resource::try_from(resource);
                RawBody::Resource(resource.map_err(|NotOne| Misfit::Kind(read.collection.clone()))?)
            }
            (mark, manifest, decision, resource) => {
                let parts = [mark.is_some(), manifest.is_some(), decision.is_some(), resource.is_some()];
                return Err(Misfit::Parts(parts.into_iter().filter(|is_set| *is_set).count()));
            }
        };
        Ok(Self {
            organization_id: read.organization_id,
            organization_name: read.organization_name,
            collection: read.collection,
            poll_id: read.poll_id,
            listing_id: read.listing_id,
            observed_ts_ms: read.observed_ts_ms,
            body,
        })
    }
}

/// None of a record's nullable fields is set, or several are.
#[derive(Debug, thiserror::Error)]
#[error("not exactly one of the fields is set")]
pub(crate) struct NotOne;

impl TryFrom<ReadResource> for raw::Resource {
    type Error = NotOne;

    fn try_from(read: ReadResource) -> Result<Self, NotOne> {
        match (read.organization, read.user, read.workspace, read.api_key, read.member) {
            (Some(it), None, None, None, None) => Ok(Self::Organization(it)),
            (None, Some(it), None, None, None) => Ok(Self::User(it)),
            (None, None, Some(it), None, None) => Ok(Self::Workspace(it)),
            (None, None, None, Some(it), None) => Ok(Self::ApiKey(it)),
            (None, None, None, None, Some(it)) => Ok(Self::Member(it)),
            _ => Err(NotOne),
        }
    }
}

impl Serialize for raw::RawRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WrittenRawRecord::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for raw::RawRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReadRawRecord::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl Serialize for raw::Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WrittenResource::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for raw::Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReadResource::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl<'a> From<&'a element::Element> for WrittenElement<'a> {
    fn from(element: &'a element::Element) -> Self {
        let element::Element {
            key,
            display_name,
            organization_id,
            collection,
            digest,
            account_name,
            content,
        } = element;
        let [from_key, to_key] = content.ends();
        let mut written = Self {
            key,
            kind: content.kind(),
            class: content.class(),
            display_name,
            organization_id,
            collection,
            digest,
            from_key,
            to_key,
            account_name: account_name.as_deref(),
            account: None,
            user: None,
            workspace: None,
            api_key: None,
            user_assigned_workspace: None,
        };
        for columns in content.columns() {
            match columns {
                Columns::Account(it) => written.account = Some(it),
                Columns::User(it) => written.user = Some(it),
                Columns::Workspace(it) => written.workspace = Some(it),
                Columns::ApiKey(it) => written.api_key = Some(it),
                Columns::UserAssignedWorkspace(it) => written.user_assigned_workspace = Some(it),
            }
        }
        written
    }
}

impl From<ReadElement> for element::Element {
    fn from(read: ReadElement) -> Self {
        let content = Content::from(Other {
            kind: read.kind,
            class: read.class,
            from_key: read.from_key,
            to_key: read.to_key,
            account: read.account,
            user: read.user,
            workspace: read.workspace,
            api_key: read.api_key,
            user_assigned_workspace: read.user_assigned_workspace,
        });
        Self {
            key: read.key,
            display_name: read.display_name,
            organization_id: read.organization_id,
            collection: read.collection,
            digest: read.digest,
            account_name: read.account_name,
            content,
        }
    }
}

/// It is of a type if it has exactly what elements of that type have.
impl From<Other> for Content {
    fn from(other: Other) -> Self {
        use ElementType as T;
        let kind = ElementType::parse(&other.kind).filter(|kind| kind.class() == other.class);
        let Other { kind: name, class, from_key, to_key, account, user, workspace, api_key, .. } = other;
        let assigned = other.user_assigned_workspace;
        match (kind, from_key, to_key, account, user, workspace, api_key, assigned) {
            (Some(T::Account), None, None, Some(it), None, None, None, None) => Self::Account(it),
            (Some(T::User), None, None, None, Some(it), None, None, None) => Self::User(it),
            (Some(T::Workspace), None, None, None, None, Some(it), None, None) => Self::Workspace(it),
            (Some(T::ApiKey), None, None, None, None, None, Some(it), None) => Self::ApiKey(it),
            (Some(T::AccountHasUser), Some(from_key), Some(to_key), None, None, None, None, None) => {
                Self::AccountHasUser(Ends { from_key, to_key })
            }
            (Some(T::AccountHasWorkspace), Some(from_key), Some(to_key), None, None, None, None, None) => {
                Self::AccountHasWorkspace(Ends { from_key, to_key })
            }
            (
                Some(T::UserAssignedWorkspace),
                Some(from_key),
                Some(to_key),
                None,
                None,
                None,
                None,
                Some(it),
            ) => Self::UserAssignedWorkspace(Ends { from_key, to_key }, it),
            (Some(T::UserCreatedApiKey), Some(from_key), Some(to_key), None, None, None, None, None) => {
                Self::UserCreatedApiKey(Ends { from_key, to_key })
            }
            (Some(T::WorkspaceHasApiKey), Some(from_key), Some(to_key), None, None, None, None, None) => {
                Self::WorkspaceHasApiKey(Ends { from_key, to_key })
            }
            (
                Some(
                    T::Account
                    | T::User
                    | T::Workspace
                    | T::ApiKey
                    | T::AccountHasUser
                    | T::AccountHasWorkspace
                    | T::UserAssignedWorkspace
                    | T::UserCreatedApiKey
                    | T::WorkspaceHasApiKey,
                )
                | None,
                from_key,
                to_key,
                account,
                user,
                workspace,
                api_key,
                user_assigned_workspace,
            ) => Self::Other(Box::new(Other {
                kind: name,
                class,
                from_key,
                to_key,
                account,
                user,
                workspace,
                api_key,
                user_assigned_workspace,
            })),
        }
    }
}

impl Serialize for element::Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WrittenElement::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for element::Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReadElement::deserialize(deserializer).map(Into::into)
    }
}
