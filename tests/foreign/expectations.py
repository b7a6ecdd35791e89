"""What each query of deploy/jupiterone should answer, worked out from the simulator's truth by brute force.

A fact names everything that could be meant and the conditions on it. What meets all of them is a hit; what fails one of
them alone is a near miss. Values come from `mapping.py`. Nothing here knows of J1QL but the names of columns.
"""

from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import mapping

DAY = 86_400_000
ADMINS = ("admin", "owner", "primary_owner")


@dataclass
class Sync:
    """The truth that was uploaded, and when at the earliest and at the latest (epoch milliseconds)."""

    truth: dict
    began: int
    ended: int

    def is_after(self, moment):
        assert self.ended < moment or self.began > moment, "the moment is within a sync"
        return self.began > moment


class History:
    """What JupiterOne has seen of an organization, sync by sync."""

    def __init__(self, syncs):
        self.syncs = syncs
        self.truth = syncs[-1].truth
        self._graphs = [mapping.elements(sync.truth)[0] for sync in syncs]

    def created(self, key):
        """The sync in which a living element appeared."""
        return self._first_of_the_last(key, lambda before, after: True)

    def begun(self, key):
        """The sync that brought the newest version of a living element."""
        return self._first_of_the_last(key, lambda before, after: before == after)

    def ended(self, key):
        """The sync that deleted an element; None: it is living, or was never there."""
        seen = [key in graph for graph in self._graphs]
        return None if seen[-1] or True not in seen else self.syncs[len(seen) - seen[::-1].index(True)]

    def _first_of_the_last(self, key, is_same):
        at = len(self._graphs) - 1
        if key not in self._graphs[at]:
            return None
        while at and key in self._graphs[at - 1] and is_same(self._graphs[at - 1][key], self._graphs[at][key]):
            at -= 1
        return self.syncs[at]

    def ever(self, collection):
        """Everything that was ever in a collection, as it was last."""
        return {id_: resource for sync in self.syncs for id_, resource in sync.truth[collection].items()}


@dataclass
class Fact:
    candidates: object
    conditions: dict

    def judged(self, history, now):
        """Each candidate with the conditions that it fails."""
        for it in self.candidates(history):
            it.now = now
            yield it, [name for name, holds in self.conditions.items() if not holds(it)]

    def hits(self, history, now):
        return [it for it, failed in self.judged(history, now) if not failed]


def fact(candidates, **conditions):
    return Fact(candidates, conditions)


# Candidates. `k` is a key, `u` a user (of a key: its creator, if a member), `w` a workspace (of a key: its own, if
# listed), `role` the role of `u` in `w`, `key` the element that the query is about.


def users(history):
    for user in history.truth["users"].values():
        assigned = [w for w, members in history.truth["members"].items() if user["id"] in members]
        yield SimpleNamespace(history=history, u=user, assigned=assigned, key=f"anthropic_user:{user['id']}")


def workspaces(history):
    for workspace in history.truth["workspaces"].values():
        yield SimpleNamespace(history=history, w=workspace, key=f"anthropic_workspace:{workspace['id']}")


def keys(history):
    for key in history.truth["api_keys"].values():
        creator, principal = key["created_by"] or {}, key["principal"] or {}
        yield SimpleNamespace(
            history=history, k=key, key=f"anthropic_api_key:{key['id']}", creator=creator, principal=principal,
            u=history.truth["users"].get(creator.get("id")), w=history.truth["workspaces"].get(key["workspace_id"]),
        )


def pairs(history):
    for user in history.truth["users"].values():
        for workspace in history.truth["workspaces"].values():
            key = f"anthropic_user:{user['id']}|assigned|anthropic_workspace:{workspace['id']}"
            role = history.truth["members"].get(workspace["id"], {}).get(user["id"])
            yield SimpleNamespace(history=history, u=user, w=workspace, role=role, key=key)


def triples(history):
    for pair in pairs(history):
        for key in history.truth["api_keys"].values():
            yield SimpleNamespace(**vars(pair), k=key)


def ever(collection, kind, alias):
    def candidates(history):
        for id_, resource in history.ever(collection).items():
            yield SimpleNamespace(history=history, key=f"{kind}:{id_}", **{alias: resource})
    return candidates


def is_active(it):
    return it.k["status"] == "active"


def is_admin(it):
    return it.u["role"] in ADMINS


def is_a_member(it):
    return it.role is not None


def is_after(sync, it, days=7):
    return sync is not None and sync.is_after(it.now - days * DAY)


def is_new(it):
    return is_after(it.history.created(it.key), it)


def was_known(it):
    created = it.history.created(it.key)
    return created is not None and not is_after(created, it)


def is_changed(it):
    return is_after(it.history.begun(it.key), it)


def is_gone(it):
    return it.history.ended(it.key) is not None


def went_within(days):
    # What is living counts as if it had gone just now: then `is_gone` alone fails.
    return lambda it: not is_gone(it) or is_after(it.history.ended(it.key), it, days)


def expires(it):
    return mapping.milliseconds(it.k["expires_at"]) if it.k["expires_at"] else None


FACTS = {
    "users": fact(users),
    "keys": fact(keys),
    "assignments": fact(pairs, is_a_member=is_a_member),
    "workspace admins": fact(
        pairs, is_a_member=is_a_member, is_admin_there=lambda it: it.role in (None, "workspace_admin")),
    "people and keys": fact(
        triples, is_a_member=is_a_member, is_active=is_active,
        is_in_the_workspace=lambda it: it.k["workspace_id"] == it.w["id"]),
    "unassigned users": fact(users, has_no_workspace=lambda it: not it.assigned),
    "unassigned users without implicit access": fact(
        users, has_no_workspace=lambda it: not it.assigned, is_no_admin=lambda it: not is_admin(it),
        is_not_billing=lambda it: it.u["role"] != "billing"),
    "admins": fact(users, is_admin=is_admin),
    "admins who joined": fact(users, is_admin=is_admin, is_new=is_new),
    "admins who changed": fact(users, is_admin=is_admin, was_known=was_known, is_changed=is_changed),
    "admins who joined or changed": fact(users, is_admin=is_admin, is_changed=is_changed),
    "active keys": fact(keys, is_active=is_active),
    "keys of workspaces": fact(keys, has_a_workspace=lambda it: it.w is not None),
    "active keys of workspaces": fact(keys, is_active=is_active, has_a_workspace=lambda it: it.w is not None),
    "active keys of members": fact(keys, is_active=is_active, has_a_creator=lambda it: it.u is not None),
    "active keys whose creator left": fact(
        keys, is_active=is_active, is_of_a_user=lambda it: it.creator.get("type") == "user",
        has_no_creator=lambda it: it.u is None),
    "active keys without an owner": fact(
        keys, is_active=is_active, has_no_creator=lambda it: not it.creator,
        has_no_principal=lambda it: not it.principal),
    "active keys of service accounts": fact(
        keys, is_active=is_active,
        is_of_a_service_account=lambda it: "service_account" in (it.creator.get("type"), it.principal.get("type"))),
    "active keys older than 90 days": fact(
        keys, is_active=is_active,
        is_old=lambda it: it.now - mapping.milliseconds(it.k["created_at"]) > 90 * DAY),
    "active keys that expire within 14 days": fact(
        keys, is_active=is_active, has_not_expired=lambda it: expires(it) is None or expires(it) > it.now,
        expires_soon=lambda it: expires(it) is not None and expires(it) - it.now < 14 * DAY),
    "active keys without an expiry": fact(keys, is_active=is_active, never_expires=lambda it: expires(it) is None),
    "active keys in archived workspaces": fact(
        keys, is_active=is_active, has_a_workspace=lambda it: it.w is not None,
        is_archived=lambda it: it.w is None or it.w["archived_at"] is not None),
    "active organization-wide keys": fact(
        keys, is_active=is_active, has_no_workspace=lambda it: it.k["workspace_id"] is None),
    "new users": fact(users, is_new=is_new),
    "new workspaces": fact(workspaces, is_new=is_new),
    "new keys": fact(keys, is_new=is_new),
    "new assignments": fact(
        pairs, is_a_member=is_a_member, is_new=lambda it: not is_a_member(it) or is_new(it)),
    "changed users": fact(users, was_known=was_known, is_changed=is_changed),
    "changed keys": fact(keys, was_known=was_known, is_changed=is_changed),
    "changed assignments": fact(
        pairs, is_a_member=is_a_member, was_known=lambda it: not is_a_member(it) or was_known(it),
        is_changed=lambda it: not is_a_member(it) or is_changed(it)),
    "removed users": fact(ever("users", "anthropic_user", "u"), is_gone=is_gone, lately=went_within(7)),
    "users removed within a day": fact(ever("users", "anthropic_user", "u"), is_gone=is_gone, lately=went_within(1)),
    "removed workspaces": fact(
        ever("workspaces", "anthropic_workspace", "w"), is_gone=is_gone, lately=went_within(7)),
    "removed keys": fact(ever("api_keys", "anthropic_api_key", "k"), is_gone=is_gone, lately=went_within(7)),
}

QUESTIONS = {
    "people-in-workspaces": {"assignments": "assignments"},
    "workspace-admins": {"workspaceAdmins": "workspace admins"},
    "people-and-keys": {"paths": "people and keys"},
    "users-without-workspace": {
        "unassigned": "unassigned users",
        "unassignedAndWithoutImplicitAccess": "unassigned users without implicit access"},
    "admins": {"admins": "admins", "usersPerRole": "users"},
    "new-admins": {"joinedAsAdmin": "admins who joined", "promotedOrChanged": "admins who changed"},
    "api-keys": {"keys": "keys", "keysOfWorkspaces": "keys of workspaces", "keysPerStatus": "keys"},
    "active-keys-creator-left": {"creatorLeft": "active keys whose creator left"},
    "active-keys-without-owner": {"withoutOwner": "active keys without an owner"},
    "active-keys-of-service-accounts": {"ofServiceAccounts": "active keys of service accounts"},
    "active-keys-older-than-90-days": {"olderThan90Days": "active keys older than 90 days"},
    "active-keys-expiring-within-14-days": {"expiringWithin14Days": "active keys that expire within 14 days"},
    "active-keys-without-expiry": {"withoutExpiry": "active keys without an expiry"},
    "active-keys-in-archived-workspaces": {"inArchivedWorkspaces": "active keys in archived workspaces"},
    "organization-wide-keys": {"organizationWide": "active organization-wide keys"},
    "keys-per-workspace": {"keysPerWorkspace": "active keys of workspaces"},
    "keys-per-person": {"keysPerPerson": "active keys of members"},
    "new-identities-and-access": {
        "newUsers": "new users", "newWorkspaces": "new workspaces", "newKeys": "new keys",
        "newAssignments": "new assignments"},
    "changed-identities-and-access": {
        "changedUsers": "changed users", "changedKeys": "changed keys", "changedAssignments": "changed assignments"},
    "removed-identities": {
        "removedUsers": "removed users", "removedWorkspaces": "removed workspaces", "removedKeys": "removed keys"},
}

RULES = {
    "anthropic-active-key-creator-left": "active keys whose creator left",
    "anthropic-active-key-without-owner": "active keys without an owner",
    "anthropic-active-key-in-archived-workspace": "active keys in archived workspaces",
    "anthropic-active-key-older-than-90-days": "active keys older than 90 days",
    "anthropic-active-key-expires-within-14-days": "active keys that expire within 14 days",
    "anthropic-new-organization-wide-key": "active organization-wide keys",
    "anthropic-new-admin": "admins",
    "anthropic-new-user": "users",
    "anthropic-new-api-key": "keys",
    "anthropic-user-removed": "users removed within a day",
}

WIDGETS = {
    "Active API keys": "active keys",
    "Active keys whose creator left": "active keys whose creator left",
    "Active keys without an owner": "active keys without an owner",
    "Active keys in archived workspaces": "active keys in archived workspaces",
    "Active organization-wide keys": "active organization-wide keys",
    "Admins": "admins",
    "API keys by status": "keys",
    "Users by role": "users",
    "Active keys that expire within 14 days": "active keys that expire within 14 days",
    "Active API keys per workspace": "active keys of workspaces",
    "Active API keys per creator": "active keys of members",
    "Members of workspaces": "assignments",
    "Active keys older than 90 days": "active keys older than 90 days",
    "Keys of people who left": "active keys whose creator left",
    "Users without a workspace": "unassigned users without implicit access",
    "New or changed admins, last 7 days": "admins who joined or changed",
    "New API keys, last 7 days": "new keys",
    "Users who left, last 7 days": "removed users",
    "People, workspaces and active API keys": "people and keys",
}


def value(hit, alias, name):
    """A property of what a hit calls so; None: absent."""
    if alias == "a":
        return {"role": hit.role}[name]
    mapped = {"k": mapping.api_key, "u": mapping.user, "w": mapping.workspace}[alias]
    resource = getattr(hit, alias)
    found = None if resource is None else mapped(resource).get(name)
    return tuple(found) if isinstance(found, list) else found


def keys_of(hits):
    return {hit.key for hit in hits}


def keys_of_paths(hits):
    """Users, workspaces and keys, and the relationships between them."""
    found = set()
    for hit in hits:
        user, workspace, key = (f"anthropic_{kind}:{it['id']}" for kind, it in
                                [("user", hit.u), ("workspace", hit.w), ("api_key", hit.k)])
        found |= {user, workspace, key, f"{user}|assigned|{workspace}", f"{workspace}|has|{key}"}
    return found


def rows(hits, columns):
    """The rows of a table whose columns are (name, alias, property); without a property, the number of `alias`es."""
    plain = [column for column in columns if column[2] is not None]
    counted = [column for column in columns if column[2] is None]
    found = [{name: value(hit, alias, property_) for name, alias, property_ in plain} for hit in hits]
    if not counted:
        return found
    [(count, alias, _)] = counted
    ids = {(tuple(row.items()), getattr(hit, alias)["id"]) for row, hit in zip(found, hits)}
    if not plain:
        return [{count: len(ids)}]
    groups = Counter(row for row, _id in ids)
    return [{**dict(row), count: number} for row, number in groups.items()]
