"""JupiterOne's own clients fill the simulated JupiterOne with what docs/mapping.md says."""

import json
import os
import shutil
import subprocess
import uuid

import pytest
from jupiterone import JupiterOneClient

import mapping
import processes

UPLOADER = processes.TARGET / "foreign" / "uploader"
SIZES = ["--users", "12", "--workspaces", "3", "--api-keys", "15"]
NO_PARTIAL_DATASETS = {"integrationStepResults": [], "metadata": {"partialDatasets": {"types": []}}}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    with processes.simulator(tmp_path_factory.mktemp("uploader"), *SIZES) as simulated:
        yield simulated


@pytest.fixture(scope="module")
def graph(simulated):
    """The elements of a small organization, by key."""
    present, _withheld = mapping.elements(simulated.truth(), "Nimbus Labs")
    return present


def split(graph):
    entities = [element for element in graph.values() if "_fromEntityKey" not in element]
    return entities, [element for element in graph.values() if "_fromEntityKey" in element]


def dump(folder, graph):
    """The graph as a collected integration lies on the disk."""
    shutil.copytree(UPLOADER / "src", folder / "src")
    storage = folder / ".j1-integration"
    entities, relationships = split(graph)
    for kind, elements in [("entities", entities), ("relationships", relationships)]:
        file = storage / "graph" / "step" / kind / f"{uuid.uuid4()}.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({kind: elements}))
    (storage / "summary.json").write_text(json.dumps(NO_PARTIAL_DATASETS))


def sync(simulated, folder, *target):
    """`j1-integration sync`, which must end with code 0."""
    program = UPLOADER / "node_modules" / ".bin" / "j1-integration"
    ended = subprocess.run(
        [program, "sync", "--api-base-url", simulated.jupiterone, "--account", simulated.account,
         "--api-key", simulated.api_key, *target],
        cwd=folder, env={**os.environ, "NO_COLOR": "1"}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=processes.PATIENCE,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_its_uploader_fills_a_scope_and_nothing_else(simulated, graph, tmp_path):
    dump(tmp_path, graph)
    sync(simulated, tmp_path, "--source", "api", "--scope", "by-the-uploader")
    assert mapping.differing(mapping.as_held(simulated.graph("by-the-uploader")), mapping.as_held(graph)) == {}


def test_its_uploader_replaces_a_scope(simulated, graph, tmp_path):
    keys = [key for key in graph if key.startswith("anthropic_api_key:")]
    fewer = {key: value for key, value in graph.items() if keys[0] not in key}
    for name, uploaded in [("first", graph), ("second", fewer)]:
        (tmp_path / name).mkdir()
        dump(tmp_path / name, uploaded)
        sync(simulated, tmp_path / name, "--source", "api", "--scope", "replaced")
    assert mapping.differing(mapping.as_held(simulated.graph("replaced")), mapping.as_held(fewer)) == {}


def test_its_uploader_fills_an_integration_instance(simulated, graph, tmp_path):
    instance = str(uuid.uuid4())
    dump(tmp_path, graph)
    sync(simulated, tmp_path, "--source", "integration-external", "-i", instance)
    assert mapping.differing(mapping.as_held(simulated.graph(instance)), mapping.as_held(graph)) == {}
    job = simulated.control("GET", "jobs", end="jupiterone")[-1]
    assert job["status"] == "FINISHED"


def test_its_python_client_fills_an_integration_instance(simulated, graph):
    instance = str(uuid.uuid4())
    client = JupiterOneClient(simulated.account, simulated.api_key, sync_url=simulated.jupiterone)
    started = client.start_sync_job(instance_id=instance, sync_mode="DIFF", source="integration-external")
    job = started["job"]["id"]
    entities, relationships = split(graph)
    client.upload_entities_batch_json(instance_job_id=job, entities_list=entities)
    client.upload_relationships_batch_json(instance_job_id=job, relationships_list=relationships)
    ended = client.finalize_sync_job(instance_job_id=job)["job"]
    assert (ended["numEntitiesUploaded"], ended["numRelationshipsUploaded"]) == (len(entities), len(relationships))
    assert mapping.differing(mapping.as_held(simulated.graph(instance)), mapping.as_held(graph)) == {}


def test_neither_client_did_what_jupiterone_refuses(simulated):
    assert simulated.control("GET", "violations", end="jupiterone") == []
