"""Rounds of the real binaries without a schema registry and with one (Apicurio), read as a stranger would.

The readers are confluent-kafka's Avro deserializer, which knows nothing but the registry's URL, and the SDK of
CloudEvents. `read_topics.py` tells what they must find.
"""

import json
import uuid
from types import SimpleNamespace

import pytest
import requests
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

import processes
import read_topics

SCHEMAS = processes.ROOT / "schemas" / "avro"
RECORDS = {
    "raw": {"raw.RawRecord"},
    "changes": {"changes.Envelope"},
    "graph": {"graph.Element", "graph.Coverage", "graph.Hold", "graph.Withheld"},
    "sync": {"sync.Sync"},
}
# A step brings about one event.
STEPS = 28


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A round without a registry and one with it; then the registry goes, and what is still possible is done."""
    folder = tmp_path_factory.mktemp("registry")
    with processes.broker(folder) as servers, processes.simulator(
        folder, "--users", "12", "--workspaces", "3", "--api-keys", "12", "--bootstrap-servers", servers
    ) as simulated, processes.schema_registry(folder) as (url, registry):
        prefix = f"registry-{uuid.uuid4()}"
        without = {
            "ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFIX": prefix,
            "ANTHROPIC_GRAPH__KAFKA__PARTITIONS": "2",
            "ANTHROPIC_GRAPH__ADMIN_LISTEN": "127.0.0.1:0",
        }
        enabled = {**without, "ANTHROPIC_GRAPH__SCHEMA_REGISTRY__URL": url}
        play_round(simulated, without)
        simulated.control("POST", f"live?steps={STEPS}")
        play_round(simulated, enabled)
        into = f"replayed-{uuid.uuid4()}"
        ask(simulated, enabled, "replay", "--from", "earliest", "--into", into)
        messages = [as_written(message, prefix) for message in read_topics.read_messages(servers, prefix)]
        registered = registered_in(url)
        deserialize = AvroDeserializer(SchemaRegistryClient({"url": url}))
        read = [(it, deserialize(it.value, SerializationContext(it.full_topic, MessageField.VALUE)))
                for it in messages if it.value and it.value[0] == 0]
        registry.kill()
        registry.wait()
        yield SimpleNamespace(
            prefix=prefix, into=into, simulated=simulated, without=without, enabled=enabled,
            messages=messages, read=read, registered=registered, url=url,
        )


def play_round(simulated, environment):
    processes.service("producer", simulated.config, "poll", environment=environment)
    processes.service("processor", simulated.config, "run", "--until-end", environment=environment)
    processes.service("sink", simulated.config, "run", "--until-end", environment=environment)


def ask(simulated, environment, *arguments, code=0):
    return processes.service("anthropic-graph", simulated.config, *arguments, environment=environment, code=code)


def as_written(message, prefix):
    return SimpleNamespace(
        full_topic=message.topic(),
        topic=message.topic().removeprefix(f"{prefix}."),
        key=message.key(),
        value=message.value(),
        headers=dict(message.headers() or []),
    )


def registered_in(url):
    """By subject: schema and level of compatibility."""
    registered = {}
    for subject in requests.get(f"{url}/subjects", timeout=processes.REQUEST_TIMEOUT).json():
        def get(path):
            answer = requests.get(f"{url}/{path}", timeout=processes.REQUEST_TIMEOUT)
            answer.raise_for_status()
            return answer.json()
        schema = json.loads(get(f"subjects/{subject}/versions/latest")["schema"])
        registered[subject] = schema, get(f"config/{subject}")["compatibilityLevel"]
    return registered


def test_each_record_of_each_topic_has_a_subject_whose_readers_are_kept(world):
    expected = {f"{prefix}.{topic}-anthropic_graph.{record}"
                for prefix, topics in [(world.prefix, RECORDS), (world.into, ["changes", "graph"])]
                for topic in topics for record in RECORDS[topic]}
    assert set(world.registered) == expected
    assert {level for _, level in world.registered.values()} == {"FULL_TRANSITIVE"}


def test_personal_data_is_tagged(world):
    def fields(schema):
        if isinstance(schema, dict):
            yield from schema.get("fields", [])
            schema = list(schema.values())
        for part in schema if isinstance(schema, list) else []:
            yield from fields(part)

    schema, _ = world.registered[f"{world.prefix}.graph-anthropic_graph.graph.Element"]
    tagged = {field["name"] for field in fields(schema) if field.get("confluent:tags") == ["PII"]}
    assert {"display_name", "email", "partial_key_hint"} <= tagged
    assert tagged == {field["name"] for field in fields(schema) if field.get("pii")}


def test_the_deserializer_reads_every_topic_as_the_schemas_say(world):
    schemas = read_topics.load_schemas(SCHEMAS)
    found = {topic: set() for topic in RECORDS}
    for message, value in world.read:
        scheme, digits = message.headers["ce_dataschema"].decode().split(":")
        assert scheme == "avro-crc64"
        name, expected = read_topics.decode(
            read_topics.MARKER + bytes.fromhex(digits) + message.value[5:], schemas
        )
        assert value == expected
        found[message.topic].add(name.removeprefix("anthropic_graph."))
    # Whether something is withheld or held depends on what happened.
    assert {"graph.Element", "graph.Coverage"} <= found["graph"] <= RECORDS["graph"]
    assert {**found, "graph": RECORDS["graph"]} == RECORDS


def test_both_framings_stand_in_one_topic_and_the_services_read_them(world):
    for topic in RECORDS:
        firsts = {it.value[0] for it in world.messages if it.topic == topic and it.value}
        assert firsts == {0x00, 0xC3}, topic
    # What anthropic-graph reads needs no registry: it is gone, and not configured.
    ask(world.simulated, world.without, "verify")
    ask(world.simulated, world.without, "verify", "--replayed", world.into)


def test_the_changes_are_the_same_through_the_command(world):
    lines = ask(world.simulated, world.without, "changes", "--from", "earliest", "--until-end", "--json")
    printed = [json.loads(line)["id"] for line in lines.splitlines()]
    assert printed == [it.headers["ce_id"].decode() for it in world.messages if it.topic == "changes"]
    last = [value["id"] for message, value in world.read if message.topic == "changes"]
    assert last and printed[-len(last):] == last


def test_a_start_without_the_registry_says_what_is_the_matter(world):
    said = processes.service("producer", world.simulated.config, "poll", environment=world.enabled, code=1)
    assert f"the schema registry {world.url} is not available" in said


class Bytes:
    """The value as it is: its format is no part of CloudEvents."""

    def read_data(self, data, _content_type):
        return data


def test_the_sdk_of_cloudevents_reads_raw_records_and_changes(world):
    kinds = {"raw": "anthropic_graph.raw", "changes": "anthropic_graph.change"}
    for message in (it for it in world.messages if it.topic in kinds):
        event = from_binary(KafkaMessage(message.headers, message.key, message.value), Bytes(), CloudEvent)
        assert event.get_type() == kinds[message.topic]
        assert event.get_source() == f"/anthropic-graph/{world.simulated.organization_id}"
        assert event.get_id() and event.get_time().tzinfo
        assert message.key.decode().endswith(event.get_subject())
        assert event.get_datacontenttype() == "avro/binary"
        assert (event.get_dataschema() is None) == (message.value[0] == 0xC3)
        assert event.get_data() == message.value
