"""Two rounds of the real binaries on a real Kafka, with life in between, as `read_topics.py` reads them."""

import json
import time
import uuid
from types import SimpleNamespace

import pytest

import columns
import content
import expectations
import mapping
import partition
import processes
import read_topics
import resources

SCHEMAS = processes.ROOT / "schemas" / "avro"
GOLDEN = processes.ROOT / "schemas" / "golden"
TOPICS = ["raw", "changes", "graph", "sync", "deadletters"]
PARTITIONS = 5
# A step brings about one event: this many create, update and delete elements of each type.
STEPS = 28
SIZES = ["--users", "30", "--workspaces", "5", "--api-keys", "40"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """What two rounds left in the topics and in JupiterOne, and the truth after each."""
    folder = tmp_path_factory.mktemp("round")
    with processes.broker(folder) as servers, processes.simulator(
        folder, *SIZES, "--bootstrap-servers", servers
    ) as simulated:
        prefix = f"foreign-{uuid.uuid4()}"
        environment = {
            "ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFIX": prefix,
            "ANTHROPIC_GRAPH__KAFKA__PARTITIONS": str(PARTITIONS),
            "ANTHROPIC_GRAPH__ADMIN_LISTEN": "127.0.0.1:0",
        }
        simulated.control("POST", "faults", {"on": "", "answer": "extra_fields"})
        rounds = [play_round(simulated, environment)]
        first = simulated.truth()
        simulated.control("POST", f"live?steps={STEPS}")
        rounds.append(play_round(simulated, environment))
        scope = f"anthropic-graph:{simulated.organization_id}"
        yield SimpleNamespace(
            servers=servers,
            prefix=prefix,
            organization=simulated.organization_id,
            first=first,
            truth=simulated.truth(),
            answers=answers(simulated),
            messages=list(messages(servers, prefix)),
            jupiterone=simulated.graph(scope),
            rounds=rounds,
            with_deleted=simulated.control("GET", f"graph?scope={scope}&include_deleted=true", end="jupiterone"),
        )


def play_round(simulated, environment):
    """One round, and when the sink uploaded which truth."""
    processes.service("producer", simulated.config, "poll", environment=environment)
    processes.service("processor", simulated.config, "run", "--until-end", environment=environment)
    began = milliseconds()
    processes.service("sink", simulated.config, "run", "--until-end", environment=environment)
    return expectations.Sync(simulated.truth(), began, milliseconds())


def milliseconds():
    return time.time_ns() // 1_000_000


def answers(simulated):
    """What the Admin API lists now, by collection."""
    listed = {name: simulated.listed(name) for name in ["users", "workspaces", "api_keys"]}
    members = {f"members/{workspace['id']}": simulated.listed(f"workspaces/{workspace['id']}/members")
               for workspace in listed["workspaces"]}
    return {"organization": simulated.listed("me"), **listed, **members}


def messages(servers, prefix):
    schemas = read_topics.load_schemas(SCHEMAS)
    for message in read_topics.read_messages(servers, prefix):
        schema, value = None, None
        if message.value() is not None:
            schema, value = read_topics.decode(message.value(), schemas)
        yield SimpleNamespace(
            topic=message.topic().removeprefix(f"{prefix}."),
            partition=message.partition(),
            offset=message.offset(),
            key=message.key().decode(),
            headers={name: header.decode() for name, header in message.headers() or []},
            schema=schema and schema.removeprefix("anthropic_graph."),
            value=value,
        )


def of(world, topic):
    """A topic's messages in their order: an organization's are all in one partition."""
    return sorted((it for it in world.messages if it.topic == topic), key=lambda it: it.offset)


def is_barrier(message):
    """The processor writes one barrier into each partition of graph. It says nothing of any organization."""
    return message.key.startswith("anthropic-graph.") and message.key.endswith("/barrier")


def elements(world):
    """The truth by docs/mapping.md: elements and withheld relationships."""
    # The configured account name: life may have renamed the organization since.
    return mapping.elements(world.truth, world.first["organization"]["name"])


def folded_changes(world):
    graph = {}
    for change in (message.value for message in of(world, "changes")):
        if change["op"] in ("r", "c", "u"):
            graph[change["element_key"]] = change["after"]
        elif change["op"] == "d":
            del graph[change["element_key"]]
    return graph


def folded_graph(world, schema):
    """The newest value of each key; a tombstone deletes."""
    latest = {message.key: message for message in of(world, "graph")}
    return {key: it.value for key, it in latest.items() if it.schema == f"graph.{schema}"}


def test_golden_bytes_begin_with_the_fingerprint_that_the_specification_computes():
    schemas = read_topics.load_schemas(SCHEMAS)
    newest = max(GOLDEN.iterdir(), key=lambda folder: int(folder.name))
    for path in newest.glob("*.avro"):
        assert path.read_bytes()[:10] in schemas, path.name


def test_every_topic_has_records_but_the_dead_letters(world):
    assert {message.topic for message in world.messages} == set(TOPICS) - {"deadletters"}


def test_the_command_prints_a_json_line_for_each_record(world, capsys):
    read_topics.main(world.servers, world.prefix, SCHEMAS)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    printed = {(line["topic"].removeprefix(f"{world.prefix}."), line["offset"], line["key"]) for line in lines}
    assert printed == {(message.topic, message.offset, message.key) for message in world.messages}


def test_each_topic_holds_what_it_should(world):
    found = {}
    for message in world.messages:
        found.setdefault(message.topic, set()).add(message.schema)
    assert found == {
        "raw": {"raw.RawRecord"},
        "changes": {"changes.Envelope"},
        "graph": {None, "graph.Element", "graph.Coverage", "graph.Withheld"},
        "sync": {"sync.Sync"},
    }


def test_every_record_is_in_the_partition_of_its_organization(world):
    expected = partition.murmur2(world.organization.encode()) % PARTITIONS
    messages = [message for message in world.messages if not is_barrier(message)]
    assert {message.partition for message in messages} == {expected}
    assert all(message.key.startswith(world.organization + "/") for message in messages)


def test_the_last_whole_listings_are_what_the_admin_api_answers(world):
    listings, manifests = {}, {}
    for message in of(world, "raw"):
        record = message.value
        if record["manifest"] is not None:
            manifests[record["collection"]] = message
        elif record["resource"] is not None:
            listings.setdefault(record["listing_id"], []).append(record["resource"])
    assert set(world.answers) <= set(manifests)
    for collection, answer in world.answers.items():
        record = manifests[collection].value
        found = listings.get(record["listing_id"], [])
        assert found == [resources.kept(collection, item) for item in answer], collection
        assert record["manifest"]["count"] == len(answer)
        assert record["manifest"]["started_ts_ms"] <= record["manifest"]["ended_ts_ms"]


def test_what_the_admin_api_sends_without_a_column_is_kept(world):
    kept = [message.value["resource"] for message in of(world, "raw") if message.value["resource"]]
    extras = [filled["extra"] for resource in kept for filled in resource.values() if filled]
    expected = {"from_the_future": {"text": "é", "list": [1, 2.5, None, True]}}
    assert extras and all(
        {name: json.loads(text) for name, text in extra.items()} == expected for extra in extras
    )


def test_each_poll_lies_between_its_marks(world):
    records = [message.value for message in of(world, "raw")]
    polls = {}
    for record in records:
        polls.setdefault(record["poll_id"], []).append(record)
    assert len(polls) == 2
    for poll in polls.values():
        start, *between, end = poll
        assert (start["mark"]["kind"], end["mark"]["kind"]) == ("start", "end")
        assert all(record["mark"] is None for record in between)
        assert end["mark"]["trigger"] == "manual" and end["mark"]["complete"]
        whole = {record["collection"]: record["listing_id"] for record in between if record["manifest"]}
        outcomes = {it["collection"]: it["listing_id"] for it in end["mark"]["outcomes"]}
        assert whole == outcomes
        assert {it["outcome"] for it in end["mark"]["outcomes"]} == {"whole"}


def test_keys_are_as_the_architecture_says(world):
    for message in of(world, "raw"):
        record = message.value
        key = f"{world.organization}/{record['collection']}/"
        if record["resource"] is not None:
            [filled] = [filled for filled in record["resource"].values() if filled]
            assert message.key == key + filled.get("id", filled.get("user_id"))
        assert message.key.startswith(key)
    for message in of(world, "changes"):
        assert message.key == f"{world.organization}/{message.value['element_key']}"
    prefixes = {"graph.Element": "", "graph.Coverage": "coverage/", "graph.Withheld": "withheld/"}
    for message in of(world, "graph"):
        if message.value is not None:
            value = message.value.get("element", message.value)
            name = value.get("key", value.get("collection"))
            assert message.key == f"{world.organization}/{prefixes[message.schema]}{name}"
    for message in of(world, "sync"):
        assert message.key == f"{world.organization}/{message.value['target']}"


def test_the_changes_fold_to_the_truth(world):
    present, _withheld = elements(world)
    found = {key: columns.properties(element) for key, element in folded_changes(world).items()}
    assert mapping.differing(found, present) == {}


def test_the_graph_folds_to_the_truth_and_to_the_same_elements_as_the_changes(world):
    present, _withheld = elements(world)
    folded = {element["key"]: element for element in folded_graph(world, "Element").values()}
    found = {key: columns.properties(element) for key, element in folded.items()}
    assert mapping.differing(found, present) == {}
    assert folded == folded_changes(world)


def test_withheld_relationships_are_those_that_lack_an_end(world):
    present, withheld = elements(world)
    assert withheld, "the organization has a key whose creator has left"
    found = {value["element"]["key"]: value for value in folded_graph(world, "Withheld").values()}
    mapped = {key: columns.properties(value["element"]) for key, value in found.items()}
    assert mapping.differing(mapped, withheld) == {}
    for value in found.values():
        ends = [value["element"]["from_key"], value["element"]["to_key"]]
        assert value["missing"] == [end for end in ends if end not in present]


def test_tombstones_are_those_of_what_was_deleted(world):
    deleted, seen = set(), set()
    for message in of(world, "changes"):
        assert message.value is not None
        if message.value["op"] == "d":
            deleted.add(message.key)
    for message in of(world, "graph"):
        if is_barrier(message):
            assert message.value is None
            continue
        assert message.value is not None or message.key in seen, f"{message.key} was never there"
        seen.add(message.key)
    prefix = f"{world.organization}/anthropic_"
    tombstones = {message.key for message in of(world, "graph") if message.value is None}
    assert {key for key in tombstones if key.startswith(prefix)} == deleted


def test_jupiterone_holds_the_truth(world):
    present, _withheld = elements(world)
    assert mapping.differing(mapping.as_held(world.jupiterone), mapping.as_held(present)) == {}


def test_coverage_names_the_last_whole_listings(world):
    coverage = {value["collection"]: value for value in folded_graph(world, "Coverage").values()}
    poll = coverage.pop("poll")["poll"]
    present, _withheld = elements(world)
    revisions = [message.value["revision"] for message in of(world, "changes")]
    assert (poll["revision"], poll["element_count"]) == (max(revisions), len(present))
    assert (poll["partition_count"], poll["ended"], poll["complete"]) == (PARTITIONS, True, True)
    assert set(coverage) == set(world.answers)
    manifests = {message.value["collection"]: message for message in of(world, "raw") if message.value["manifest"]}
    for collection, value in coverage.items():
        manifest = manifests[collection]
        whole = value["whole"]
        assert (whole["listing_id"], whole["raw_offset"]) == (manifest.value["listing_id"], manifest.offset)
        assert whole["count"] == len(world.answers[collection])
        assert value["not_whole_since_ts_ms"] is None


def test_revisions_have_no_gap_and_ids_do_not_repeat(world):
    changes = [message.value for message in of(world, "changes")]
    assert [change["revision"] for change in changes] == list(range(1, len(changes) + 1))
    assert len({change["id"] for change in changes}) == len(changes)


def test_before_and_after_are_the_graph_as_it_was_and_is(world):
    graph = {}
    for change in (message.value for message in of(world, "changes")):
        key, op, before, after = (change[name] for name in ["element_key", "op", "before", "after"])
        assert before == graph.get(key), key
        assert (before is None, after is None) == {
            "r": (True, False), "c": (True, False), "u": (False, False), "d": (False, True)
        }[op], key
        image = after or before
        assert (image["key"], image["type"], image["organization_id"]) == (
            key, change["element_type"], world.organization)
        assert change["kind"] == ("entity" if image["from_key"] is None else "relationship")
        graph.pop(key, None)
        if after:
            graph[key] = after
        was, is_ = (columns.properties(image) if op == "u" else {} for image in (before, after))
        differing = sorted(differences(was, is_))
        assert change["changed"] == differing, key
        assert op != "u" or differing, f"{key}: an update of nothing"


def differences(before, after):
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_no_relationship_lacks_an_end_at_any_point_of_the_log(world):
    present = set()
    for change in (message.value for message in of(world, "changes")):
        image = change["after"] or change["before"]
        ends = {image["from_key"], image["to_key"]} - {None}
        assert ends <= present, change["element_key"]
        (present.discard if change["op"] == "d" else present.add)(change["element_key"])


def test_the_first_round_is_a_snapshot_and_the_second_tells_what_happened(world):
    ends = [message.offset for message in of(world, "raw")
            if message.value["mark"] and message.value["mark"]["kind"] == "end"]
    manifests = {message.value["listing_id"]: message for message in of(world, "raw") if message.value["manifest"]}
    ops = set()
    for change in (message.value for message in of(world, "changes")):
        source = change["source"]
        # Members of a workspace that is new since the first round were created: by then it was not there.
        first_listing = manifests[source["listing_id"]].offset < ends[0]
        assert (change["op"] == "r") == first_listing, change["element_key"]
        assert source["snapshot"] == ("true" if first_listing else "false")
        ops.add(change["op"])
    assert ops == {"r", "c", "u", "d"}


def test_each_change_tells_the_listing_that_showed_it(world):
    manifests = {message.value["listing_id"]: message.value for message in of(world, "raw")
                 if message.value["manifest"]}
    for change in (message.value for message in of(world, "changes")):
        source = change["source"]
        listing = manifests[source["listing_id"]]
        assert (source["connector"], source["organization_id"]) == ("anthropic-graph", world.organization)
        assert (source["name"], source["collection"]) == (listing["organization_name"], listing["collection"])
        ended = listing["manifest"]["ended_ts_ms"]
        assert change["ts_ms"] == source["ts_ms"] == change["not_after_ts_ms"] == ended
        earlier = [it["manifest"]["started_ts_ms"] for it in manifests.values()
                   if it["collection"] == listing["collection"] and it["manifest"]["ended_ts_ms"] < ended]
        workspace = listing["collection"].removeprefix("members/")
        if workspace != listing["collection"] and workspace not in world.first["workspaces"] and not earlier:
            # Of a new workspace: the first round listed the workspaces without it.
            earlier = [min(it["manifest"]["started_ts_ms"] for it in manifests.values()
                           if it["collection"] == "workspaces")]
        assert change["not_before_ts_ms"] == max(earlier, default=None)


def test_changes_carry_the_attributes_of_cloud_events(world):
    for message in of(world, "changes"):
        headers = message.headers
        assert headers["ce_specversion"] == "1.0"
        assert headers["ce_id"] == message.value["id"]
        assert headers["ce_type"] and headers["ce_source"]
        assert headers["ce_subject"] == message.value["element_key"]
        time = columns.milliseconds(mapping.instant(headers["ce_time"]))
        assert time == columns.milliseconds(message.value["ts_ms"])
        assert headers["content-type"] == "avro/binary"
        assert headers["anthropic_graph.version"]
        assert headers["ce_cause"] == "live"


def test_sync_tells_what_jupiterone_finished(world):
    [key] = {message.key for message in of(world, "sync")}
    last = of(world, "sync")[-1].value
    assert key == f"{world.organization}/{last['target']}"
    assert last["organization_id"] == world.organization
    assert (last["intent"], last["parked"], last["paused"]) == (None, [], None)
    finished = last["finished"]
    assert finished["revision"] == max(message.value["revision"] for message in of(world, "changes"))
    present, _withheld = elements(world)
    types = [element["_type"] for element in present.values()]
    assert finished["counts"] == {type_: types.count(type_) for type_ in set(types)}
    assert (finished["partial_types"], finished["incomplete"]) == ([], [])


def test_each_intent_is_written_before_its_job_is_finished(world):
    states = [(message.value["intent"], message.value["finished"]) for message in of(world, "sync")]
    # The first asks for the account alone, whose graph this is; it brings nothing to finish.
    _question, *uploads = dict.fromkeys(intent["job_id"] for intent, _ in states if intent)
    finished = list(dict.fromkeys(done["job_id"] for _, done in states if done))
    assert len(uploads) == 2 and finished == uploads


def test_the_content_for_jupiterone_answers_from_what_the_services_uploaded(world):
    between = world.rounds[0].ended + 1
    moments = [mapping.milliseconds(world.truth["now"]), between + expectations.DAY, between + 7 * expectations.DAY]
    content.World(world.rounds, world.with_deleted, moments).check()
