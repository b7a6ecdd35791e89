//! How large a resource's elements may be: each of their changes has to fit into a message.

use schemas::{
    codec::{Digest, encode},
    collection::Collection,
    element::{Content, Element},
    raw::{Configuration, Resource},
};

use super::{Context, elements};

/// Largest element (bytes, encoded). A change has two, the one before and the one after, and librdkafka refuses more
/// than 1,000,000 by its defaults. No configuration: the same raw records lead to the same changes everywhere.
pub const MAX_ELEMENT_BYTES: usize = 450_000;
/// Longest key of an element (bytes): a change, its record and its headers repeat it. The Admin API's ids have 40.
pub const MAX_KEY_BYTES: usize = 4_096;

/// A resource of no more than this (bytes, encoded) has no element that could be too large: an element repeats none of
/// its strings more than six times, and a key holds two ids, three bytes for each that is escaped.
const SAFE_RESOURCE: usize = 600;
/// What a tag's name costs a change in addition to the name (bytes): it may also be among the changed properties.
const CHANGED_TAG: usize = 8;

/// Whether a resource of so many bytes, encoded, has no element that could be too large.
pub(crate) fn is_surely_small(bytes: usize) -> bool {
    bytes <= SAFE_RESOURCE
}

/// Why the resource cannot be mapped, if it cannot.
pub(crate) fn too_large(
    organization_id: &str,
    collection: &Collection,
    resource: &Resource,
) -> Option<String> {
    let configuration = Configuration {
        account_name: None,
        tag_account_name: false,
        max_deleted_fraction: 0.0,
        max_deleted_count: 0,
    };
    let context = Context::new(organization_id, collection, &configuration);
    // All digests have one size.
    elements(&context, resource, Digest::of([])).iter().find_map(refusal)
}

fn refusal(element: &Element) -> Option<String> {
    let (key, bytes) = (element.key.len(), size(element));
    if key > MAX_KEY_BYTES {
        Some(format!("its {} has a key of {key} bytes; at most {MAX_KEY_BYTES} are allowed", element.kind()))
    } else if bytes > MAX_ELEMENT_BYTES {
        Some(format!(
            "its {} has {bytes} bytes, too many for a message with its change; at most {MAX_ELEMENT_BYTES} \
             are allowed",
            element.kind()
        ))
    } else {
        None
    }
}

fn size(element: &Element) -> usize {
    let tags =
        if let Content::Workspace(workspace) = &element.content { Some(&workspace.tags) } else { None };
    let names = tags.into_iter().flatten().map(|(name, _)| name.len() + CHANGED_TAG);
    encode(element).len() + names.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use schemas::{
        collection::Collection,
        raw::{Resource, User, Workspace},
    };

    fn too_large(collection: &Collection, resource: &Resource) -> Option<String> {
        super::too_large("o", collection, resource)
    }

    fn user(id: &str, name: &str) -> Resource {
        let user = User { id: id.to_owned(), name: Some(name.to_owned()), ..User::default() };
        Resource::User(user.into())
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
            Resource::Workspace(workspace.into())
        };
        assert_eq!(too_large(&Collection::Workspaces, &workspace(1_000)), None);
        assert!(too_large(&Collection::Workspaces, &workspace(1_200)).is_some());
    }
}
