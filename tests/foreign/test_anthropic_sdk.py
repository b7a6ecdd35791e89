"""Anthropic's own SDK, strict about every answer, reads the simulated Admin API.

Run with two of them: 1.17.0 is the last one that asks for version 2023-06-01, 2.14.0 asks for 2026-10-21.
"""

from datetime import datetime

import anthropic
import pytest

import processes

# What the simulator is to be again after a test: the generation that both SDKs describe.
USUAL = {"generation": 4, "unknown_version": "bad_request"}
with anthropic.Anthropic(api_key="none") as _sdk:
    VERSION = _sdk.default_headers["anthropic-version"]
SIZES = ["--users", "120", "--workspaces", "9", "--api-keys", "230"]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    with processes.simulator(tmp_path_factory.mktemp("sdk"), *SIZES) as simulated:
        yield simulated


@pytest.fixture
def organization(simulated):
    """The SDK's `organization`; what a test switches is as before after it."""
    with client(simulated, simulated.admin_key) as sdk:
        yield sdk.organization
    simulated.control("DELETE", "faults")
    simulated.control("POST", "settings", USUAL)


def client(simulated, key):
    return anthropic.Anthropic(
        api_key=key, base_url=simulated.anthropic, max_retries=0, _strict_response_validation=True
    )


def by_id(objects, name="id"):
    """What the SDK read, by id; nothing may come twice."""
    found = [item.to_dict() for item in objects]
    indexed = {item[name]: item for item in found}
    assert len(indexed) == len(found)
    return indexed


def with_instants(item):
    """The truth's item with its times as the SDK reads them."""
    return {
        name: datetime.fromisoformat(value) if name.endswith("_at") and value else value
        for name, value in item.items()
    }


def expect(found, expected):
    assert found == {key: with_instants(item) for key, item in expected.items()}


def true_workspace(workspace):
    residency = dict(workspace["data_residency"])
    residency["allowed_inference_geos"] = residency["allowed_inference_geos"] or "unrestricted"
    retention = workspace["inference_data_retention"]
    expected = {**workspace, "type": "workspace", "data_residency": residency}
    del expected["inference_data_retention"]
    return expected if retention is None else {**expected, "inference_data_retention": {"type": retention}}


def true_api_key(key, default_workspace):
    expected = {**key, "type": "api_key"}
    workspace = expected.pop("workspace_id")
    if VERSION == "2023-06-01":
        expected["workspace_id"] = None if workspace == default_workspace else workspace
    scope = {"type": "workspace", "workspace_id": workspace} if workspace else {"type": "organization"}
    principal = key["principal"]
    if principal:
        kind = principal["type"]
        principal = {"type": f"{kind}_actor", f"{kind}_id": principal["id"]}
    return {**expected, "scope": scope, "principal": principal}


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_every_list_is_the_truth_in_pages_of_any_size(simulated, organization, limit):
    truth = simulated.truth()
    users = by_id(organization.users.list(limit=limit))
    expect(users, {key: {**user, "type": "user"} for key, user in truth["users"].items()})
    keys = by_id(organization.api_keys.list(limit=limit))
    default = truth["default_workspace_id"]
    expect(keys, {key: true_api_key(value, default) for key, value in truth["api_keys"].items()})
    listed = organization.workspaces.list(limit=limit, include_archived=True, include_default=True)
    workspaces = by_id(listed)
    expect(workspaces, {key: true_workspace(value) for key, value in truth["workspaces"].items()})
    for workspace in workspaces:
        members = by_id(organization.workspaces.members.list(workspace, limit=limit), "user_id")
        roles = {user: member["workspace_role"] for user, member in members.items()}
        assert roles == truth["members"].get(workspace, {})


def test_archived_and_default_workspaces_are_listed_when_asked_for(simulated, organization):
    truth = simulated.truth()
    archived = {key for key, value in truth["workspaces"].items() if value["archived_at"]}
    assert archived
    default = truth["default_workspace_id"]
    ordinary = set(truth["workspaces"]) - archived - {default}
    workspaces = organization.workspaces
    assert set(by_id(workspaces.list())) == ordinary
    assert set(by_id(workspaces.list(include_archived=True))) == ordinary | archived
    assert set(by_id(workspaces.list(include_default=True))) == ordinary | {default}


def test_pages_lead_backwards_too(organization):
    users = [user.id for user in organization.users.list(limit=1000)]
    before_last = [user.id for user in organization.users.list(limit=1000, before_id=users[-1])]
    assert before_last == users[:-1]


def test_single_objects_are_as_listed(simulated, organization):
    truth = simulated.truth()
    assert organization.retrieve().to_dict() == {**truth["organization"], "type": "organization"}
    for key, resource in [("users", organization.users), ("workspaces", organization.workspaces),
                          ("api_keys", organization.api_keys)]:
        first = next(iter(resource.list(limit=1)))
        assert resource.retrieve(first.id) == first
        assert first.id in truth[key]


# Generations 1 and 2 lack fields that this SDK's types require; `users` never changed.
@pytest.mark.parametrize(("generation", "lists"), [
    (1, ["users"]),
    (2, ["users", "workspaces"]),
    (3, ["users", "workspaces", "api_keys"]),
    (4, ["users", "workspaces", "api_keys"]),
])
def test_its_types_take_the_generations_that_they_describe(simulated, organization, generation, lists):
    # Before generation 4 there was one version.
    simulated.control("POST", "settings", {"generation": generation, "unknown_version": "ignored"})
    accepted = []
    for name in ["users", "workspaces", "api_keys"]:
        try:
            list(getattr(organization, name).list(limit=1000))
        except anthropic.APIResponseValidationError:
            continue
        accepted.append(name)
    assert accepted == lists


@pytest.mark.parametrize(("answer", "error", "status"), [
    ("unauthorized", anthropic.AuthenticationError, 401),
    ("forbidden", anthropic.PermissionDeniedError, 403),
    ("not_found", anthropic.NotFoundError, 404),
    ({"rate_limited": {"retry_after": "1"}}, anthropic.RateLimitError, 429),
    ({"server_error": {}}, anthropic.InternalServerError, 500),
    # A class of its own in the older SDK, a server error in the newer.
    ("overloaded", anthropic.APIStatusError, 529),
])
def test_errors_come_out_as_its_own(simulated, organization, answer, error, status):
    simulated.control("POST", "faults", {"on": "users", "answer": answer})
    with pytest.raises(error) as raised:
        organization.users.list()
    assert raised.value.status_code == status
    assert raised.value.request_id == raised.value.body["request_id"]
    assert raised.value.request_id.startswith("req_")


def test_what_is_not_there_and_who_is_not_known_are_its_own_errors(simulated, organization):
    with pytest.raises(anthropic.NotFoundError):
        organization.users.retrieve("user_01nobody")
    with pytest.raises(anthropic.BadRequestError):
        organization.users.list(limit=1001)
    with client(simulated, "sk-ant-admin01-unknown") as stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.organization.users.list()


def test_it_speaks_the_version_that_it_is_tested_for():
    assert VERSION == ("2023-06-01" if anthropic.__version__.startswith("1.") else "2026-10-21")


def test_its_retries_get_past_a_rate_limit(simulated, organization):
    fault = {"on": "users", "when": {"first": 1}, "answer": {"rate_limited": {"retry_after_ms": "10"}}}
    simulated.control("POST", "faults", fault)
    patient = organization._client.with_options(max_retries=2).organization
    assert len(list(patient.users.list(limit=1000))) == len(simulated.truth()["users"])
