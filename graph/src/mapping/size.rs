//! How large a resource's elements may be: each of their changes has to fit into a message.

use schemas::{
    codec::{Raw, encode},
    collection::Collection,
    element::{Element, Workspace},
    raw::{self, Configuration, Resource},
};

use super::{Context, elements};

/// Largest element (bytes, encoded). A change has two, the one before and the one after, and librdkafka refuses more
/// than 1,000,000 by its defaults. No configuration: the same raw records lead to the same changes everywhere.
pub const MAX_ELEMENT_BYTES: usize = 450_000;
/// Longest key of an element (bytes): a change, its record and its headers repeat it. The Admin API's ids have 40.
pub const MAX_KEY_BYTES: usize = 4_096;

/// A resource whose texts are no longer than this (bytes) has no element that could be too large: an element repeats
/// none of them more than six times, and a key holds two ids, three bytes for each that is escaped.
const SAFE_TEXTS: usize = 600;
/// What a tag's name costs a change beside the name (bytes): it may also stand among the changed properties.
const CHANGED_TAG: usize = 8;

/// Why the resource cannot be mapped, if it cannot.
pub(crate) fn too_large(collection: &Collection, raw: &Raw) -> Option<String> {
    let resource = raw.record.resource.as_ref()?;
    if texts(resource) <= SAFE_TEXTS {
        return None;
    }
    let configuration = Configuration {
        account_name: None,
        tag_account_name: false,
        max_deleted_fraction: 0.0,
        max_deleted_count: 0,
    };
    let context = Context::new(&raw.record.organization_id, collection, &configuration);
    elements(&context, raw).iter().find_map(refusal)
}

fn refusal(element: &Element) -> Option<String> {
    let (key, bytes) = (element.key.len(), size(element));
    if key > MAX_KEY_BYTES {
        Some(format!("its {} has a key of {key} bytes; {MAX_KEY_BYTES} is the most", element.kind))
    } else if bytes > MAX_ELEMENT_BYTES {
        Some(format!(
            "its {} has {bytes} bytes, and a change of it would fit into no message; {MAX_ELEMENT_BYTES} is the most",
            element.kind
        ))
    } else {
        None
    }
}

fn size(element: &Element) -> usize {
    let names =
        |workspace: &Workspace| workspace.tags.keys().map(|name| name.len() + CHANGED_TAG).sum::<usize>();
    encode(element).len() + element.workspace.as_deref().map_or(0, names)
}

/// Bytes of the texts that a resource's elements are made of.
fn texts(resource: &Resource) -> usize {
    let Resource { organization, user, workspace, api_key, member } = resource;
    let all =
        |texts: &[&Option<String>]| texts.iter().filter_map(|it| it.as_ref()).map(String::len).sum::<usize>();
    organization.as_deref().map_or(0, |it| it.id.len() + all(&[&it.name]))
        + user.as_deref().map_or(0, |it| it.id.len() + all(&[&it.email, &it.name, &it.role]))
        + workspace.as_deref().map_or(0, |it| workspace_texts(it, all))
        + api_key.as_deref().map_or(0, |it| api_key_texts(it, all))
        + member
            .as_deref()
            .map_or(0, |it| it.user_id.len() + it.workspace_id.len() + all(&[&it.workspace_role]))
}

fn workspace_texts(workspace: &raw::Workspace, all: impl Fn(&[&Option<String>]) -> usize) -> usize {
    let residency = workspace.data_residency.as_ref();
    let geos =
        residency.into_iter().flat_map(|it| &it.allowed_inference_geos).map(String::len).sum::<usize>();
    let tags = workspace.tags.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let own = [
        &workspace.name,
        &workspace.display_color,
        &workspace.compartment_id,
        &workspace.external_key_id,
        &workspace.inference_data_retention,
        &workspace.user_profile_id,
    ];
    let residency = residency.map_or(0, |it| all(&[&it.workspace_geo, &it.default_inference_geo]));
    workspace.id.len() + all(&own) + residency + geos + tags
}

fn api_key_texts(api_key: &raw::ApiKey, all: impl Fn(&[&Option<String>]) -> usize) -> usize {
    let actors = [&api_key.created_by, &api_key.principal].into_iter().flatten();
    let actors = actors.map(|it| all(&[&it.id, &it.kind])).sum::<usize>();
    let scope = api_key.scope.as_ref().map_or(0, |it| all(&[&it.kind, &it.workspace_id]));
    let own = [&api_key.name, &api_key.status, &api_key.partial_key_hint, &api_key.workspace_id];
    api_key.id.len() + all(&own) + actors + scope
}

#[cfg(test)]
mod tests {
    use schemas::{
        codec::{Raw, resource_digest},
        collection::Collection,
        raw::{RawRecord, Resource, User, Workspace},
    };

    use super::too_large;

    fn raw(resource: Resource) -> Raw {
        let resource_digest = resource_digest(Some(&resource));
        let record = RawRecord {
            organization_id: "o".to_owned(),
            organization_name: "n".to_owned(),
            collection: String::new(),
            poll_id: None,
            listing_id: None,
            observed_ts_ms: 0,
            mark: None,
            manifest: None,
            decision: None,
            resource: Some(resource),
        };
        Raw { record, resource_digest }
    }

    fn user(id: &str, name: &str) -> Raw {
        let user = User { id: id.to_owned(), name: Some(name.to_owned()), ..User::default() };
        raw(Resource { user: Some(user.into()), ..Resource::default() })
    }

    #[test]
    fn a_name_of_a_hundred_kilobytes_passes_and_one_of_two_hundred_does_not() {
        assert_eq!(too_large(&Collection::Users, &user("user_01", "Ada")), None);
        assert_eq!(too_large(&Collection::Users, &user("user_01", &"x".repeat(100_000))), None);
        let refusal =
            too_large(&Collection::Users, &user("user_01", &"x".repeat(200_000))).expect("a refusal");
        assert!(refusal.contains("its anthropic_user has 600"), "{refusal}");
    }

    #[test]
    fn an_id_of_a_thousand_bytes_passes_and_one_of_five_thousand_does_not() {
        assert_eq!(too_large(&Collection::Users, &user(&"x".repeat(1_000), "Ada")), None);
        assert!(too_large(&Collection::Users, &user(&"x".repeat(5_000), "Ada")).is_some());
        assert!(too_large(&Collection::Users, &user(&"|".repeat(1_500), "Ada")).is_some());
    }

    #[test]
    fn the_names_of_tags_count_twice() {
        let tags =
            |count: usize| (0..count).map(|number| (format!("{number:0200}"), String::new())).collect();
        let workspace = |count| {
            let workspace = Workspace { id: "w".to_owned(), tags: tags(count), ..Workspace::default() };
            raw(Resource { workspace: Some(workspace.into()), ..Resource::default() })
        };
        assert_eq!(too_large(&Collection::Workspaces, &workspace(1_000)), None);
        assert!(too_large(&Collection::Workspaces, &workspace(1_200)).is_some());
    }
}
