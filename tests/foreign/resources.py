"""An object of the Admin API (generation 4) as schemas/avro/raw_record.avsc says that it is kept."""

import json

FIELDS = {
    "organization": ["id", "type", "name"],
    "user": ["id", "type", "email", "name", "role", "added_at"],
    "workspace": ["id", "type", "name", "display_color", "created_at", "archived_at", "compartment_id",
                  "external_key_id", "data_residency", "tags", "inference_data_retention", "user_profile_id"],
    "api_key": ["id", "type", "name", "status", "created_at", "expires_at", "created_by", "partial_key_hint",
                "principal", "scope", "workspace_id"],
    "member": ["user_id", "workspace_id", "type", "workspace_role"],
}
KINDS = {"organization": "organization", "users": "user", "workspaces": "workspace", "api_keys": "api_key"}


def kept(collection, item):
    """The record's `resource`: known fields typed, all others in `extra` as canonical JSON."""
    kind = KINDS.get(collection, "member")
    known = {name: item.get(name) for name in FIELDS[kind]}
    extra = {name: canonical(value) for name, value in item.items() if name not in known}
    if kind == "workspace":
        known.update(workspace(item))
    if kind == "api_key":
        known.update(api_key(item))
    return {**dict.fromkeys(FIELDS), kind: {**known, "extra": extra}}


def workspace(item):
    residency = dict(item["data_residency"])
    geos = residency["allowed_inference_geos"]
    residency["allowed_inference_geos"] = [geos] if isinstance(geos, str) else geos
    retention = item.get("inference_data_retention") or {}
    return {"data_residency": residency, "inference_data_retention": retention.get("type")}


def api_key(item):
    scope, principal = item["scope"], item["principal"]
    if principal:
        id_ = principal.get("user_id") or principal.get("service_account_id")
        principal = {"id": id_, "type": principal["type"]}
    return {"scope": {"type": scope["type"], "workspace_id": scope.get("workspace_id")}, "principal": principal}


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
