"""Reads every topic of a prefix to its end: read_topics.py BOOTSTRAP_SERVERS PREFIX FOLDER_OF_SCHEMAS

One JSON line a record. Needs confluent-kafka, fastavro and the .avsc files.
"""

import io
import json
import pathlib
import sys

import confluent_kafka
import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

MARKER = b"\xc3\x01"  # Avro's single-object encoding: marker, 8 bytes of fingerprint, value


def load_schemas(folder):
    """The schemas by what their values begin with, those of earlier releases included."""
    schemas = {}
    element = json.loads((pathlib.Path(folder) / "element.avsc").read_text())
    for path in pathlib.Path(folder).rglob("*.avsc"):
        schema = with_record(json.loads(path.read_text()), element)
        # In hexadecimal, and already with the lowest byte first.
        rabin = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        schemas[MARKER + bytes.fromhex(rabin)] = fastavro.parse_schema(schema)
    return schemas


def with_record(schema, record):
    """The schema with a record's definition in the first place that has its name."""
    name = f"{record['namespace']}.{record['name']}"
    is_defined = False

    def complete(part):
        nonlocal is_defined
        if part == name and not is_defined:
            is_defined = True
            return record
        if isinstance(part, dict):
            is_defined = is_defined or f"{part.get('namespace')}.{part.get('name')}" == name
            return {key: complete(value) for key, value in part.items()}
        if isinstance(part, list):
            return [complete(value) for value in part]
        return part

    return complete(schema)


def decode(value, schemas):
    """The name of the value's schema and the value."""
    schema = schemas.get(value[:10])
    if schema is None:
        raise ValueError(f"no schema is known for a value that begins with {value[:10].hex(' ')}")
    body = io.BytesIO(value[10:])
    record = fastavro.schemaless_reader(body, schema)
    if body.read():
        raise ValueError(f"bytes follow a value of {schema['name']}")
    return schema["name"], record


def read_messages(bootstrap_servers, prefix):
    """Every committed message of the prefix's topics, in the order of each partition."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": bootstrap_servers,
        "group.id": "read-topics",  # asked for, never used
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    })
    topics = consumer.list_topics(timeout=10).topics
    unread = {
        (name, partition)
        for name, topic in topics.items() if name.startswith(prefix + ".")
        for partition in topic.partitions
    }
    start = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([confluent_kafka.TopicPartition(*partition, start) for partition in unread])
    while unread:
        message = consumer.poll(timeout=30)
        if message is None:
            raise TimeoutError(f"nothing comes from {sorted(unread)}")
        if not message.error():
            yield message
        elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
            unread.discard((message.topic(), message.partition()))
        else:
            raise confluent_kafka.KafkaException(message.error())
    consumer.close()


def main(bootstrap_servers, prefix, folder):
    schemas = load_schemas(folder)
    for message in read_messages(bootstrap_servers, prefix):
        line = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset(),
                "key": message.key().decode(), "schema": None, "value": None}
        if message.value() is not None and not message.topic().endswith(".deadletters"):
            line["schema"], line["value"] = decode(message.value(), schemas)
        print(json.dumps(line, default=str, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
