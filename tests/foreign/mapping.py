"""What JupiterOne should hold of an organization: a reading of docs/mapping.md that shares nothing with the services.

Of the Admin API's generation 4.
"""

import re
from datetime import datetime, timedelta, timezone

ABSENT = object()
EPOCH = datetime.fromtimestamp(0, timezone.utc)


def elements(truth, account_name=None):
    """The elements by key, and by key the withheld relationships, which lack an end."""
    entities = {entity["_key"]: entity for entity in entities_of(truth)}
    if account_name is not None:
        for entity in entities.values():
            entity["tag.AccountName"] = account_name
    present, withheld = {}, {}
    for relationship in relationships_of(truth):
        ends = {relationship["_fromEntityKey"], relationship["_toEntityKey"]}
        (present if ends <= entities.keys() else withheld)[relationship["_key"]] = relationship
    return {**entities, **present}, withheld


def as_held(elements):
    """The elements with each class as an array: so JupiterOne keeps them, whether they were sent so or not."""
    return {key: {**element, "_class": listed(element["_class"])} for key, element in elements.items()}


def differing(found, expected):
    """Property by property, what was found and what was expected."""
    pairs = {key: (found.get(key, {}), expected.get(key, {})) for key in found.keys() | expected.keys()}
    return {
        (key, name): (is_.get(name), should_be.get(name))
        for key, (is_, should_be) in pairs.items() if is_ != should_be
        for name in is_.keys() | should_be.keys() if is_.get(name, ABSENT) != should_be.get(name, ABSENT)
    }


def listed(class_):
    return class_ if isinstance(class_, list) else [class_]


def entities_of(truth):
    yield account(truth["organization"])
    yield from map(user, truth["users"].values())
    yield from map(workspace, truth["workspaces"].values())
    yield from map(api_key, truth["api_keys"].values())


def entity(kind, class_, id_, name, properties):
    filled = {property_: value for property_, value in properties.items() if value is not None}
    own = {"_key": f"{kind}:{id_}", "_type": kind, "_class": [class_], "id": id_, "name": name,
           "displayName": name}
    return {**filled, **own}


def account(organization):
    name = organization["name"] or organization["id"]
    return entity("anthropic_account", "Account", organization["id"], name, {"vendor": "Anthropic"})


def user(user):
    address = user["email"].strip().lower()
    local, _, domain = address.rpartition("@")
    has_address = bool(local and domain)
    added = milliseconds(user["added_at"])
    mapped = entity("anthropic_user", "User", user["id"], user["name"] or user["email"] or user["id"], {
        "emailDomain": [domain] if has_address else None,
        "role": user["role"],
        "isAdmin": user["role"] in ("admin", "owner", "primary_owner"),
        "isActive": True,
        "createdOn": added,
        "addedOn": added,
    })
    first, last = first_and_last(user["name"])
    return {
        **mapped,
        "email": [address] if has_address else None,
        "username": [address] if has_address else None,
        "shortLoginId": [local] if has_address else None,
        "firstName": first,
        "lastName": last,
    }


def first_and_last(name):
    words = name.split()
    if "@" in name or not words:
        return None, None
    if len(words) == 1:
        return words[0], None
    return " ".join(words[:-1]), words[-1]


def workspace(workspace):
    residency = workspace["data_residency"]
    # The truth's null is the API's "unrestricted".
    geos = residency["allowed_inference_geos"]
    return entity("anthropic_workspace", "Group", workspace["id"], workspace["name"] or workspace["id"], {
        "displayColor": workspace["display_color"],
        "createdOn": milliseconds(workspace["created_at"]),
        "archivedOn": milliseconds(workspace["archived_at"]),
        "active": workspace["archived_at"] is None,
        "workspaceGeo": residency["workspace_geo"],
        "defaultInferenceGeo": residency["default_inference_geo"],
        "allowedInferenceGeos": ["unrestricted"] if geos is None else geos,
        "compartmentId": workspace["compartment_id"],
        "externalKeyId": workspace["external_key_id"],
        "inferenceDataRetention": workspace["inference_data_retention"],
        "userProfileId": workspace["user_profile_id"],
        **tags(workspace["tags"]),
    })


def tags(tags):
    mapped = {}
    # Names that need no change come last, so that they win; of the others, the first in byte order.
    for name in sorted(tags, key=lambda name: name.encode(), reverse=True):
        mapped[accepted(name)] = tags[name]
    mapped.update({name: value for name, value in tags.items() if accepted(name) == name})
    return {f"tag.{name}": value for name, value in mapped.items()}


def accepted(name):
    return re.sub(r"[^A-Za-z0-9. -]", "-", name)


def api_key(key):
    creator, principal = key["created_by"] or {}, key["principal"] or {}
    return entity("anthropic_api_key", "AccessKey", key["id"], key["name"] or key["id"], {
        "partialKeyHint": key["partial_key_hint"],
        "status": key["status"],
        "active": key["status"] == "active",
        "createdOn": milliseconds(key["created_at"]),
        "expiresOn": milliseconds(key["expires_at"]),
        "createdBy": creator.get("id"),
        "creatorType": creator.get("type"),
        "principalId": principal.get("id"),
        "principalType": principal.get("type"),
        "scope": "workspace" if key["workspace_id"] else "organization",
        "workspaceId": key["workspace_id"],
    })


def relationships_of(truth):
    account_key = f"anthropic_account:{truth['organization']['id']}"
    for id_ in truth["users"]:
        yield relationship("anthropic_account_has_user", "HAS", account_key, f"anthropic_user:{id_}")
    for id_ in truth["workspaces"]:
        yield relationship("anthropic_account_has_workspace", "HAS", account_key, f"anthropic_workspace:{id_}")
    for workspace_id, members in truth["members"].items():
        for user_id, role in members.items():
            ends = f"anthropic_user:{user_id}", f"anthropic_workspace:{workspace_id}"
            yield {**relationship("anthropic_user_assigned_workspace", "ASSIGNED", *ends), "role": role}
    for key in truth["api_keys"].values():
        to = f"anthropic_api_key:{key['id']}"
        creator = key["created_by"]
        if creator and creator["type"] == "user":
            maker = f"anthropic_user:{creator['id']}"
            yield relationship("anthropic_user_created_api_key", "CREATED", maker, to)
        if key["workspace_id"]:
            home = f"anthropic_workspace:{key['workspace_id']}"
            yield relationship("anthropic_workspace_has_api_key", "HAS", home, to)


def relationship(kind, class_, from_, to):
    return {"_key": f"{from_}|{class_.lower()}|{to}", "_type": kind, "_class": class_, "_fromEntityKey": from_,
            "_toEntityKey": to, "displayName": class_}


def milliseconds(text):
    """Epoch milliseconds; digits beyond are cut."""
    return None if text is None else (instant(text) - EPOCH) // timedelta(milliseconds=1)


def instant(text):
    return datetime.fromisoformat(text)
