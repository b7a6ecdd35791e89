"""Kafka Connect keeps a table of the elements in PostgreSQL, from the changes alone, and SQL asks it who can do what.

Avro is Apicurio's converter, the changes are Debezium's `ExtractNewRecordState`, the table is Debezium's JDBC sink: none
of them knows of anthropic-graph. docs/consuming.md shows the same configuration.
"""

import time
import uuid
from datetime import datetime, timezone
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.rows import dict_row

import columns
import connect_worker as connect
import mapping
import processes

# A step brings about one event: this many create, update and delete elements of each type.
STEPS = 28
# How long the worker may take to start, and to write what it has read (seconds).
PATIENCE = 90


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """After each of two rounds, the truth and the table."""
    folder = tmp_path_factory.mktemp("connect")
    with processes.broker(folder) as servers, processes.simulator(
        folder, "--users", "20", "--workspaces", "4", "--api-keys", "30", "--bootstrap-servers", servers
    ) as simulated, processes.schema_registry(folder) as (url, _), connect.postgresql() as database:
        prefix = f"connect-{uuid.uuid4()}"
        environment = {
            "ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFIX": prefix,
            "ANTHROPIC_GRAPH__KAFKA__PARTITIONS": "2",
            "ANTHROPIC_GRAPH__ADMIN_LISTEN": "127.0.0.1:0",
            "ANTHROPIC_GRAPH__SCHEMA_REGISTRY__URL": url,
        }
        with psycopg.connect(database.address) as connection:
            connection.execute((connect.CONFIGURATION / "tables.sql").read_text())
        play_round(simulated, environment)
        first = simulated.truth()
        registry = url.replace("/ccompat/v7", "/registry/v2")
        with connect.worker(folder, servers, registry, database, f"{prefix}.changes") as worker:
            name = first["organization"]["name"]
            played = [reached(worker, database, first, name)]
            simulated.control("POST", f"live?steps={STEPS}")
            play_round(simulated, environment)
            played.append(reached(worker, database, simulated.truth(), name))
            yield played, database


def play_round(simulated, environment):
    processes.service("producer", simulated.config, "poll", environment=environment)
    processes.service("processor", simulated.config, "run", "--until-end", environment=environment)


def reached(worker, database, truth, account_name):
    """The truth and the table, once they agree or nothing more can be waited for."""
    present, _withheld = mapping.elements(truth, account_name)
    deadline = time.monotonic() + PATIENCE
    while True:
        table = elements(database)
        if mapping.differing(table, present) == {} or time.monotonic() > deadline:
            return SimpleNamespace(truth=truth, present=present, table=table)
        failure = worker.failure()
        assert failure is None, failure
        time.sleep(0.5)


def ask(database, query):
    with psycopg.connect(database.address, row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()


def elements(database):
    """The rows as elements, by key."""
    query = "SELECT *, hstore_to_json(tags) AS tags FROM workspaces"
    workspaces = {row["record_key"]: row for row in ask(database, query)}
    rows = ask(database, "SELECT * FROM elements")
    return {row["key"]: columns.properties(element(row, workspaces.get(row["record_key"]))) for row in rows}


def element(row, workspace):
    """A row in the form of `element.avsc`."""
    nested = {"user_assigned_workspace": None}
    for column, value in row.items():
        record, separator, name = column.partition("__")
        if separator and row["type"].endswith(record):
            nested[record] = {**(nested.get(record) or {}), name: typed(value)}
    if workspace is not None:
        nested["workspace"] = {name: typed(value) for name, value in workspace.items() if name != "record_key"}
    return {**row, **nested}


def typed(value):
    """A timestamp of the table is in UTC and does not say so."""
    return value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) else value


def test_the_table_is_the_graph_after_each_round(rounds):
    played, _ = rounds
    for now in played:
        assert mapping.differing(now.table, now.present) == {}
    before, after = (set(now.table) for now in played)
    assert before - after and after - before, "something was deleted, and something created"


# Who can use which active key of a workspace: docs/consuming.md has the same.
WHO_CAN_USE_WHAT = """
SELECT person.display_name AS person, person.key AS person_key, assigned.user_assigned_workspace__role AS role,
       workspace.display_name AS workspace, api_key.display_name AS api_key, api_key.key AS api_key_key
FROM elements AS assigned
JOIN elements AS person ON person.key = assigned.from_key
JOIN elements AS workspace ON workspace.key = assigned.to_key
JOIN elements AS has ON has.from_key = workspace.key AND has.type = 'anthropic_workspace_has_api_key'
JOIN elements AS api_key ON api_key.key = has.to_key
WHERE assigned.type = 'anthropic_user_assigned_workspace' AND api_key.api_key__active
"""


def test_sql_over_the_table_answers_as_the_truth_does(rounds):
    played, database = rounds
    truth = played[-1].truth
    expected = {
        (f"anthropic_user:{user}", role, f"anthropic_api_key:{key['id']}")
        for key in truth["api_keys"].values() if key["status"] == "active" and key["workspace_id"]
        for user, role in truth["members"].get(key["workspace_id"], {}).items() if user in truth["users"]
    }
    found = {(row["person_key"], row["role"], row["api_key_key"]) for row in ask(database, WHO_CAN_USE_WHAT)}
    assert expected and found == expected


def test_the_documentation_has_the_configuration_and_the_query():
    page = (processes.ROOT / "docs" / "consuming.md").read_text()
    for name in ["worker", "elements"]:
        assert (connect.CONFIGURATION / f"{name}.properties").read_text() in page, name
    shown = " ".join(page.split("```sql")[1].split("```")[0].split())
    asked = " ".join(WHO_CAN_USE_WHAT.split())
    for column in ["person.key AS person_key, ", ", api_key.key AS api_key_key"]:
        assert column in asked
        asked = asked.replace(column, "")
    assert shown == asked
