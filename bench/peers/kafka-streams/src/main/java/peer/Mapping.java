package peer;

import anthropic_graph.graph.Account;
import anthropic_graph.graph.ApiKey;
import anthropic_graph.graph.Element;
import anthropic_graph.graph.User;
import anthropic_graph.graph.Workspace;
import anthropic_graph.raw.Actor;
import anthropic_graph.raw.DataResidency;
import anthropic_graph.raw.RawRecord;
import anthropic_graph.raw.Resource;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** From a resource to its elements, as docs/mapping.md says; as far as the resources that the bench writes need it. */
final class Mapping {
    private static final List<String> ADMIN_ROLES = List.of("admin", "owner", "primary_owner");

    private final RawRecord record;
    private final String digest;

    private Mapping(RawRecord record, String digest) {
        this.record = record;
        this.digest = digest;
    }

    /** The key of the entity that a resource stands for. */
    static String entityKey(Resource resource) {
        if (resource.getApiKey() != null) {
            return key("anthropic_api_key", resource.getApiKey().getId());
        } else if (resource.getUser() != null) {
            return key("anthropic_user", resource.getUser().getId());
        } else if (resource.getWorkspace() != null) {
            return key("anthropic_workspace", resource.getWorkspace().getId());
        } else if (resource.getOrganization() != null) {
            return key("anthropic_account", resource.getOrganization().getId());
        }
        throw new IllegalArgumentException("a resource of another kind: " + resource);
    }

    /** The entity first, then its relationships. */
    static List<Element> elements(RawRecord record, String digest) {
        return new Mapping(record, digest).elements();
    }

    private List<Element> elements() {
        Resource resource = record.getResource();
        String key = entityKey(resource);
        String account = key("anthropic_account", record.getOrganizationId());
        List<Element> elements = new ArrayList<>(3);
        if (resource.getApiKey() != null) {
            Element entity = apiKey(key, resource.getApiKey());
            elements.add(entity);
            ApiKey columns = entity.getApiKey();
            if ("user".equals(columns.getCreatorType())) {
                String user = key("anthropic_user", columns.getCreatedBy());
                elements.add(relationship("anthropic_user_created_api_key", "CREATED", user, key));
            }
            if (columns.getWorkspaceId() != null) {
                String workspace = key("anthropic_workspace", columns.getWorkspaceId());
                elements.add(relationship("anthropic_workspace_has_api_key", "HAS", workspace, key));
            }
        } else if (resource.getUser() != null) {
            elements.add(user(key, resource.getUser()));
            elements.add(relationship("anthropic_account_has_user", "HAS", account, key));
        } else if (resource.getWorkspace() != null) {
            elements.add(workspace(key, resource.getWorkspace()));
            elements.add(relationship("anthropic_account_has_workspace", "HAS", account, key));
        } else {
            anthropic_graph.raw.Organization organization = resource.getOrganization();
            Element entity = bare(key, "anthropic_account", "Account", organization.getName());
            entity.setAccount(new Account(organization.getId(), organization.getName(), "Anthropic"));
            elements.add(entity);
        }
        return elements;
    }

    private Element apiKey(String key, anthropic_graph.raw.ApiKey sent) {
        Actor creator = sent.getCreatedBy() == null ? new Actor() : sent.getCreatedBy();
        Actor principal = sent.getPrincipal() == null ? new Actor() : sent.getPrincipal();
        boolean hasScope = sent.getScope() != null;
        Element entity = bare(key, "anthropic_api_key", "AccessKey", sent.getName());
        entity.setApiKey(new ApiKey(
                sent.getId(),
                sent.getName(),
                sent.getPartialKeyHint(),
                sent.getStatus(),
                "active".equals(sent.getStatus()),
                time(sent.getCreatedAt()),
                time(sent.getExpiresAt()),
                creator.getId(),
                creator.getType(),
                principal.getId(),
                principal.getType(),
                hasScope ? sent.getScope().getType() : null,
                hasScope ? sent.getScope().getWorkspaceId() : null));
        return entity;
    }

    private Element user(String key, anthropic_graph.raw.User sent) {
        String address = sent.getEmail().strip().toLowerCase(Locale.ROOT);
        int at = address.lastIndexOf('@');
        String name = sent.getName();
        int space = name.lastIndexOf(' ');
        Element entity = bare(key, "anthropic_user", "User", name);
        entity.setUser(new User(
                sent.getId(),
                name,
                List.of(address),
                List.of(address),
                List.of(address.substring(0, at)),
                List.of(address.substring(at + 1)),
                name.substring(0, space),
                name.substring(space + 1),
                sent.getRole(),
                ADMIN_ROLES.contains(sent.getRole()),
                true,
                time(sent.getAddedAt())));
        return entity;
    }

    private Element workspace(String key, anthropic_graph.raw.Workspace sent) {
        DataResidency residency = sent.getDataResidency();
        Element entity = bare(key, "anthropic_workspace", "Group", sent.getName());
        entity.setWorkspace(new Workspace(
                sent.getId(),
                sent.getName(),
                sent.getDisplayColor(),
                time(sent.getCreatedAt()),
                time(sent.getArchivedAt()),
                sent.getArchivedAt() == null,
                residency.getWorkspaceGeo(),
                residency.getDefaultInferenceGeo(),
                residency.getAllowedInferenceGeos(),
                sent.getCompartmentId(),
                sent.getExternalKeyId(),
                sent.getInferenceDataRetention(),
                sent.getUserProfileId(),
                Map.copyOf(sent.getTags())));
        return entity;
    }

    private Element relationship(String type, String elementClass, String from, String to) {
        String key = from + "|" + elementClass.toLowerCase(Locale.ROOT) + "|" + to;
        Element relationship = bare(key, type, elementClass, elementClass);
        relationship.setFromKey(from);
        relationship.setToKey(to);
        return relationship;
    }

    private Element bare(String key, String type, String elementClass, String displayName) {
        return new Element(
                key,
                type,
                elementClass,
                displayName,
                record.getOrganizationId(),
                record.getCollection(),
                digest,
                null, null, null, null, null, null, null, null);
    }

    private static String key(String type, String id) {
        return type + ":" + id;
    }

    private static Instant time(String text) {
        return text == null ? null : Instant.parse(text);
    }
}
