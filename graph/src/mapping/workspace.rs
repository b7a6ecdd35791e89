//! A workspace: the entity and account HAS workspace.

use std::collections::BTreeMap;

use schemas::{
    codec::Digest,
    element::{Content, Element, ElementType, Ends, Workspace},
    raw,
};

use super::{Context, epoch_ms, first_filled};

pub(super) fn elements(context: &Context, resource: Digest, workspace: &raw::Workspace) -> Vec<Element> {
    let has = relationship(context.organization_id, ElementType::Workspace.entity_key(&workspace.id));
    let contents = [Content::Workspace(Box::new(columns(workspace))), has];
    contents.map(|content| context.element(content, resource)).into()
}

/// The relationship that leads to the workspace of that key.
pub(super) fn relationship(organization_id: &str, workspace_key: String) -> Content {
    Content::AccountHasWorkspace(Ends {
        from_key: ElementType::Account.entity_key(organization_id),
        to_key: workspace_key,
    })
}

fn columns(workspace: &raw::Workspace) -> Workspace {
    let residency = workspace.data_residency.clone().unwrap_or_default();
    Workspace {
        id: workspace.id.clone(),
        name: first_filled([workspace.name.as_deref(), Some(&workspace.id)]),
        display_color: workspace.display_color.clone(),
        created_on: workspace.created_at.as_deref().and_then(epoch_ms),
        archived_on: workspace.archived_at.as_deref().and_then(epoch_ms),
        // A time of another JSON type has no column, and the workspace is archived anyway.
        active: workspace.archived_at.is_none() && !workspace.extra.contains_key("archived_at"),
        workspace_geo: residency.workspace_geo,
        default_inference_geo: residency.default_inference_geo,
        allowed_inference_geos: residency.allowed_inference_geos,
        compartment_id: workspace.compartment_id.clone(),
        external_key_id: workspace.external_key_id.clone(),
        inference_data_retention: workspace.inference_data_retention.clone(),
        user_profile_id: workspace.user_profile_id.clone(),
        tags: accepted_tags(&workspace.tags),
    }
}

/// Tags by names that JupiterOne's data model accepts (`^(_|tag\.)?[A-Za-z0-9. -]+$`).
fn accepted_tags(tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut accepted = BTreeMap::new();
    for (name, value) in tags {
        let accepted_name = accepted_name(name);
        if accepted_name == *name {
            accepted.insert(accepted_name, value.clone());
        } else {
            accepted.entry(accepted_name).or_insert_with(|| value.clone());
        }
    }
    accepted
}

fn accepted_name(name: &str) -> String {
    let accepts = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | ' ' | '-');
    name.chars().map(|character| if accepts(character) { character } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::accepted_tags;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_tag_s_name_becomes_one_that_jupiterone_accepts() {
        assert_eq!(accepted_tags(&tags(&[("cost_center", "7")])), tags(&[("cost-center", "7")]));
        assert_eq!(accepted_tags(&tags(&[("größe", "L")])), tags(&[("gr--e", "L")]));
    }

    #[test]
    fn of_two_names_that_become_one_the_unchanged_one_wins_else_the_first_in_byte_order() {
        assert_eq!(accepted_tags(&tags(&[("a_b", "x"), ("a-b", "y")])), tags(&[("a-b", "y")]));
        assert_eq!(accepted_tags(&tags(&[("a:b", "x"), ("a_b", "y")])), tags(&[("a-b", "x")]));
    }
}
