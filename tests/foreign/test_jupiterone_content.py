"""deploy/jupiterone: in JupiterOne's formats, and every query answers what the simulator's truth says it should."""

import contextlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
import yaml
from jupiterone import JupiterOneClient

import content
import expectations
import j1ql
import mapping
import processes

DOCUMENT = processes.ROOT / "docs" / "jupiterone-content.md"
SEEDS = [1, 2, 3]
SIZES = ["--users", "24", "--workspaces", "7", "--api-keys", "60"]
STEPS = 40
# The oldest keys of a simulated organization are some 40 days old: after so long, some are older than 90 days.
DAYS_TO_OLD_KEYS = 70


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Three organizations that JupiterOne has seen three times, each asked at four moments."""
    built = []
    for seed in SEEDS:
        folder = tmp_path_factory.mktemp(f"content-{seed}")
        with processes.simulator(folder, "--seed", str(seed), *SIZES) as simulated:
            built.append(build(simulated))
    return built


def build(simulated):
    instance = str(uuid.uuid4())
    syncs = [upload(simulated, instance)]
    happen(simulated, long_ago)
    syncs.append(upload(simulated, instance))
    before = content.World(syncs[:], held(simulated, instance), [])
    boundary = syncs[-1].ended + 1
    while milliseconds() <= boundary:
        time.sleep(0.001)
    simulated.control("POST", f"live?steps={STEPS}")
    days_after = [boundary + days * expectations.DAY for days in (1, 7)]
    happen(simulated, lately, [mapping.milliseconds(simulated.truth()["now"]), days_after[1]])
    syncs.append(upload(simulated, instance))
    clock = mapping.milliseconds(syncs[-1].truth["now"])
    moments = [clock, clock + DAYS_TO_OLD_KEYS * expectations.DAY, *days_after]
    return content.World(syncs, held(simulated, instance), moments, before)


def held(simulated, instance):
    return simulated.control("GET", f"graph?scope={instance}&include_deleted=true", end="jupiterone")


def upload(simulated, instance):
    truth = simulated.truth()
    elements = mapping.elements(truth)[0].values()
    client = JupiterOneClient(simulated.account, simulated.api_key, sync_url=simulated.jupiterone)
    began = milliseconds()
    job = client.start_sync_job(instance_id=instance, sync_mode="DIFF", source="integration-external")["job"]["id"]
    client.upload_entities_batch_json(
        instance_job_id=job, entities_list=[it for it in elements if "_fromEntityKey" not in it])
    client.upload_relationships_batch_json(
        instance_job_id=job, relationships_list=[it for it in elements if "_fromEntityKey" in it])
    assert client.finalize_sync_job(instance_job_id=job)["job"]["status"] == "FINISHED"
    return expectations.Sync(truth, began, milliseconds())


def milliseconds():
    return time.time_ns() // 1_000_000


def happen(simulated, what, *arguments):
    for mutation in what(simulated.truth(), *arguments):
        simulated.control("POST", "mutations", mutation)


def long_ago(truth):
    """What must not count as new, changed or removed later."""
    yield {"mutation": "remove_user", "id": next(iter(truth["users"]))}
    yield {"mutation": "delete_workspace", "id": ordinary_workspaces(truth)[0]}
    yield {"mutation": "delete_key", "id": next(iter(truth["api_keys"]))}


def lately(truth, moments):
    """For each fact what makes a hit and, for each of its conditions, what lacks that condition alone."""
    people = [user for user in truth["users"].values() if user["role"] == "developer"]
    places = ordinary_workspaces(truth)
    owned = [key for key in truth["api_keys"].values() if key["status"] == "active" and key["created_by"]
             and key["created_by"]["type"] == "user" and not key["principal"]]
    leaver = next(key["created_by"]["id"] for key in owned if key["created_by"]["id"] in truth["users"])
    stays = next(user["id"] for user in people if user["id"] != leaver)
    robot = {"id": "svac_01Content", "type": "service_account"}
    maker = {"id": stays, "type": "user"}
    closed = {id_ for id_, workspace in truth["workspaces"].items() if workspace["archived_at"]}
    archived = next(key for key in truth["api_keys"].values() if key["workspace_id"] in closed)
    admin = next(user for user in truth["users"].values() if user["role"] == "admin")
    yield {"mutation": "rename_user", "id": admin["id"], "name": "Renamed Admin"}
    yield {"mutation": "add_user", "role": "admin"}
    for role in ("user", "billing", "owner"):
        yield {"mutation": "add_user", "role": role}
    yield {"mutation": "make_workspace", "id": "wrkspc_01Content", "name": truth["workspaces"][places[0]]["name"]}
    yield {"mutation": "give_membership", "user_id": stays, "workspace_id": "wrkspc_01Content",
           "role": "workspace_admin"}
    yield {"mutation": "change_role", "id": stays, "role": "admin"}
    yield from ({"mutation": "rename_user", "id": user["id"], "name": "Renamed Person"}
                for user in people if user["id"] not in (stays, leaver))
    workspace, members = next((id_, it) for id_, it in truth["members"].items() if it and id_ in places)
    yield {"mutation": "change_workspace_role", "workspace_id": workspace, "user_id": next(iter(members)),
           "role": "workspace_of_tests"}
    for creator in (maker, robot, None):
        for principal in (maker, robot, None):
            yield {"mutation": "make_key", "created_by": creator, "principal": principal,
                   "workspace_id": "wrkspc_01Content"}
    yield {"mutation": "make_key", "created_by": maker}
    yield {"mutation": "set_key_status", "id": archived["id"], "status": "active"}
    for number, now in enumerate(moments):
        for days in (-1, 13, 15):
            for status in ("active", "inactive"):
                id_ = f"apikey_01Expires{number}{status}{days + 1}"
                yield {"mutation": "make_key", "id": id_, "created_by": maker, "workspace_id": "wrkspc_01Content",
                       "expires_at": timestamp(now + days * expectations.DAY)}
                yield {"mutation": "set_key_status", "id": id_, "status": status}
    for status in ("inactive", "archived"):
        for kept in owned[:1]:
            yield {"mutation": "make_key", "id": f"apikey_01{status}", "created_by": kept["created_by"]}
            yield {"mutation": "set_key_status", "id": f"apikey_01{status}", "status": status}
    yield {"mutation": "remove_user", "id": leaver}
    yield {"mutation": "delete_workspace", "id": places[1]}
    yield {"mutation": "delete_key", "id": owned[-1]["id"]}


def ordinary_workspaces(truth):
    return [id_ for id_, workspace in truth["workspaces"].items()
            if id_ != truth["default_workspace_id"] and not workspace["archived_at"]]


def timestamp(milliseconds_):
    return (mapping.EPOCH + mapping.timedelta(milliseconds=milliseconds_)).isoformat()


def test_each_query_answers_what_the_truth_says(worlds):
    for world in worlds:
        world.check()


def test_rules_for_new_results_alert_on_what_has_become_a_hit_since_the_last_evaluation(worlds):
    new = {rule["name"] for rule in content.RULES if rule["triggerActionsOnNewEntitiesOnly"]}
    asked = {it.name: it for it in content.asked() if it.name in new}
    assert asked.keys() == new
    for world in worlds:
        now = world.moments[-1]
        for name, it in asked.items():
            found = [seen.answer(it.query, it.include_deleted, now) for seen in (world.before, world)]
            hits = [expectations.keys_of(it.fact.hits(seen.history, now)) for seen in (world.before, world)]
            assert found[1] - found[0] == hits[1] - hits[0], name


def test_the_rule_for_new_admins_alerts_on_promotions_and_not_on_names(worlds):
    [rule] = [it for it in content.asked() if it.name == "anthropic-new-admin"]
    promoted, renamed = 0, 0
    for world in worlds:
        before, after = (seen.history.truth["users"] for seen in (world.before, world))
        alerted = world.answer(rule.query, False, 0) - world.before.answer(rule.query, False, 0)
        for id_ in before.keys() & after.keys():
            was, is_ = (users[id_]["role"] in expectations.ADMINS for users in (before, after))
            assert (f"anthropic_user:{id_}" in alerted) == (is_ and not was)
            promoted += is_ and not was
            renamed += is_ and was and before[id_]["name"] != after[id_]["name"]
    assert promoted and renamed


def test_without_one_of_its_conditions_a_query_answers_something_else(worlds):
    for it in content.asked():
        for left_out, wider in widened(it.query):
            if getattr(left_out, "property", None) == "_deleted":
                continue  # Implied by `_endOn`; JupiterOne's own queries have both.
            assert any(
                world.answer(wider, it.include_deleted, now) != world.answer(it.query, it.include_deleted, now)
                for world in worlds for now in world.moments
            ), f"{it.name} answers the same without {left_out}"


def widened(query):
    """The query without one comparison, or without its negated traversal."""
    for comparison in j1ql.comparisons(query.start.filter):
        yield comparison, replace(query, start=wider_node(query.start, comparison))
    for comparison in j1ql.comparisons(query.where):
        yield comparison, replace(query, where=j1ql.without(query.where, comparison))
    for number, traversal in enumerate(query.traversals):
        before, after = query.traversals[:number], query.traversals[number + 1:]
        if traversal.negated:
            yield traversal, replace(query, traversals=(*before, *after))
        for comparison in j1ql.comparisons(traversal.node.filter):
            wider = replace(traversal, node=wider_node(traversal.node, comparison))
            yield comparison, replace(query, traversals=(*before, wider, *after))


def wider_node(node, comparison):
    return replace(node, filter=j1ql.without(node.filter, comparison))


def test_each_fact_has_hits_and_for_each_condition_a_near_miss(worlds):
    hits, near_misses = Counter(), defaultdict(Counter)
    for world in worlds:
        for now in world.moments:
            for name, fact in expectations.FACTS.items():
                for _it, failed in fact.judged(world.history, now):
                    hits[name] += not failed
                    if len(failed) == 1:
                        near_misses[name][failed[0]] += 1
    for name, fact in expectations.FACTS.items():
        assert hits[name], f"nothing is a hit of {name}"
        missing = [condition for condition in fact.conditions if not near_misses[name][condition]]
        assert not missing, f"{name}: nothing fails only {missing}"


@pytest.mark.parametrize("text", [
    "FIND User",
    "FIND anthropic_robot",
    "FIND anthropic_user WITH is_admin = true",
    "FIND anthropic_user WITH isAdmin = TRUE",
    'FIND anthropic_user WITH role = "admin"',
    "FIND anthropic_user AS u WITH role = 'admin'",
    "FIND anthropic_user WITH role ~= 'admin'",
    "FIND anthropic_user WITH createdOn > date.now - 2 weeks",
    "FIND anthropic_user THAT HAS anthropic_api_key",
    "FIND anthropic_user THAT CREATED << anthropic_api_key",
    "FIND anthropic_user THAT ASSIGNED anthropic_workspace WHERE w.active = true",
    "FIND anthropic_user RETURN u.email AS Email",
    "FIND anthropic_user AS u RETURN u.email",
    "FIND anthropic_user AS u RETURN u.email AS From",
    "FIND anthropic_user AS u RETURN u.partialKeyHint AS Hint",
    "FIND anthropic_user AS u RETURN u.email AS Email ORDER BY Name DESC",
    "FIND anthropic_api_key (THAT CREATED << anthropic_user)? (THAT HAS << anthropic_workspace)?",
    "FIND anthropic_user THAT !ASSIGNED anthropic_workspace THAT HAS anthropic_api_key",
    "FIND anthropic_user LIMIT 5 SKIP 5",
])
def test_what_is_outside_the_read_part_of_j1ql_or_the_graph_is_refused(text):
    with pytest.raises(j1ql.Outside):
        content.SCHEMA.check(j1ql.parse(text))


@pytest.mark.parametrize("filter_, matching", [
    ("role = 'a'", ["a", "a and b"]),
    ("role != 'a'", ["b", "absent"]),
    ("role = undefined", ["absent"]),
    ("role != undefined", ["a", "b", "a and b"]),
    ("role = 'a' OR role = 'b' AND isAdmin = true", ["a", "a and b"]),
    ("(role = 'a' OR role = 'b') AND isAdmin = true", ["a and b"]),
    ("addedOn < date.now", ["a", "a and b"]),
    ("addedOn > date.now - 1 days AND addedOn <= date.now + 24 hours", ["a", "b"]),
])
def test_filters_are_read_as_jupiterone_documents_them(filter_, matching):
    told = {
        "a": {"role": "a", "addedOn": 99_999_999},
        "b": {"role": "b", "addedOn": 186_400_000},
        "a and b": {"role": ["a", "b"], "isAdmin": True, "addedOn": 13_600_000},
        "absent": {"isAdmin": True},
    }
    users = [{"_key": key, "_type": "anthropic_user", **properties} for key, properties in told.items()]
    found = j1ql.evaluate(j1ql.parse(f"FIND anthropic_user WITH {filter_}"), j1ql.Graph(users, []), 100_000_000)
    assert sorted(found) == sorted(matching)


# The formats.

VALIDATOR = processes.TARGET / "foreign" / "uploader" / "node_modules" / ".bin" / "j1-integration"
# Fields of JupiterOne's GraphQL inputs, as its Terraform provider (2026-07) generates them from the schema.
QUESTION = {"title", "name", "tags", "description", "showTrend", "pollingInterval", "widgetId", "queries", "compliance",
            "variables"}
QUESTION_QUERY = {"query", "version", "name", "resultsAre", "includeDeleted"}
RULE = {"question", "templates", "tags", "name", "description", "specVersion", "operations", "outputs",
        "pollingInterval", "notifyOnFailure", "triggerActionsOnNewEntitiesOnly", "ignorePreviousResults",
        "remediationSteps", "resourceGroupId", "labels", "j1Internal"}
RULE_QUERY = {"query", "name", "version", "includeDeleted"}
WIDGET = {"id", "title", "description", "type", "questionId", "noResultMessage", "includeDeleted", "config"}
LAYOUT_ITEM = {"static", "moved", "w", "h", "x", "y", "i"}
LAYOUT_COLUMNS = 12
INTERVALS = {"DISABLED", "THIRTY_MINUTES", "ONE_HOUR", "FOUR_HOURS", "EIGHT_HOURS", "TWELVE_HOURS", "ONE_DAY",
             "ONE_WEEK"}
LEVELS = {"INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL"}
# What each type of chart takes.
CHARTS = {"number": ["value"], "pie": ["name", "value"], "bar": ["x", "y"]}


def validated(file):
    return subprocess.run([VALIDATOR, "validate-question-file", "--dry-run", "--file-path", file],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=processes.PATIENCE)


def test_jupiterones_validator_accepts_the_questions():
    ended = validated(content.FOLDER / "questions.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Successfully validated managed question file!" in ended.stdout


@pytest.mark.parametrize("damage", [
    lambda questions: questions.append(questions[0]),
    lambda questions: questions[1].update(title=questions[0]["title"]),
    lambda questions: questions[0].pop("description"),
    lambda questions: questions[0]["queries"][0].update(resultsAre="FINE"),
    lambda questions: questions[0]["tags"].append(questions[0]["tags"][0]),
])
def test_jupiterones_validator_refuses_damaged_questions(damage, tmp_path):
    file = yaml.safe_load((content.FOLDER / "questions.yaml").read_text())
    damage(file["questions"])
    (tmp_path / "questions.yaml").write_text(yaml.safe_dump(file))
    assert validated(tmp_path / "questions.yaml").returncode != 0


def test_every_question_rule_and_widget_has_its_expected_answer_and_stands_in_the_document():
    questions = {question["id"].removeprefix(content.PREFIX): {query["name"] for query in question["queries"]}
                 for question in content.QUESTION_FILE["questions"]}
    assert questions == {id_: set(facts) for id_, facts in expectations.QUESTIONS.items()}
    assert [rule["name"] for rule in content.RULES] == list(expectations.RULES)
    charts = [widget["title"] for widget in content.DASHBOARD["widgets"] if widget["type"] != "markdown"]
    assert charts == list(expectations.WIDGETS)
    text = DOCUMENT.read_text()
    for name in [*expectations.QUESTIONS, *expectations.RULES, *charts]:
        assert name in text, f"{DOCUMENT.name} does not name {name}"
    used = {*expectations.RULES.values(), *expectations.WIDGETS.values(),
            *(fact for facts in expectations.QUESTIONS.values() for fact in facts.values())}
    assert used == set(expectations.FACTS)


def test_the_alert_rules_are_instances_as_jupiterone_takes_them():
    for rule in content.RULES:
        assert set(rule) <= RULE and rule["specVersion"] == 1, rule["name"]
        assert rule["pollingInterval"] in INTERVALS
        [query] = rule["question"]["queries"]
        assert set(query) == RULE_QUERY and re.fullmatch(r"\w+", query["name"])
        # Without RETURN the results are entities, of which JupiterOne knows whether they are new.
        assert j1ql.parse(query["query"]).columns is None
        [operation] = rule["operations"]
        assert operation["when"] == {
            "type": "FILTER", "condition": ["AND", [f"queries.{query['name']}.total", ">", 0]]}
        level, alert = operation["actions"]
        assert level["targetProperty"] == "alertLevel" and level["targetValue"] in LEVELS
        assert (level["type"], alert) == ("SET_PROPERTY", {"type": "CREATE_ALERT"})
        assert rule["outputs"] == [f"queries.{query['name']}.total", "alertLevel"]


def test_the_dashboard_gives_each_widget_a_place_and_each_chart_the_columns_it_takes():
    widgets, layouts = content.DASHBOARD["widgets"], content.DASHBOARD["layouts"]
    assert set(layouts) == {"xs", "sm", "md", "lg", "xl"}
    assert [item["i"] for item in layouts["lg"]] == [widget["id"] for widget in widgets]
    taken = [(item["x"] + x, item["y"] + y)
             for item in layouts["lg"] for x in range(item["w"]) for y in range(item["h"])]
    assert len(taken) == len(set(taken)) and max(x for x, _y in taken) < LAYOUT_COLUMNS
    assert all(set(item) == LAYOUT_ITEM for item in layouts["lg"])
    assert len({uuid.UUID(widget["id"]) for widget in widgets}) == len(widgets)
    assert all(set(widget) <= WIDGET for widget in widgets)
    for it in (it for it in content.asked() if it.chart is not None):
        columns = it.query.columns
        if it.chart in CHARTS:
            assert [column.name for column in columns] == CHARTS[it.chart], it.name
        elif it.chart == "table":
            assert it.query.limit == content.TABLE_ROWS, it.name
        else:
            assert (it.chart, columns) == ("graph", "TREE"), it.name
    for widget in widgets:
        if widget["type"] == "markdown":
            assert widget["config"]["queries"] == [] and widget["config"]["settings"]["markdown"]["text"]


@contextlib.contextmanager
def graphql(answer):
    """A GraphQL endpoint: the requests that it got, and its address."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append((dict(self.headers), body))
            status, headers, answered = answer(body, len(requests))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(answered).encode())

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield requests, f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def created(body, number):
    """As JupiterOne answers a mutation, with an id that no other has."""
    mutation = re.search(r"\{\s*(\w+)\(", body["query"])[1]
    return 200, {}, {"data": {mutation: {"id": f"{mutation}-{number}"}}}


def imported(url, *parts):
    return subprocess.run(
        [sys.executable, content.FOLDER / "import.py", "--account", "nimbus", "--graphql-url", url, *parts],
        env={**os.environ, "JUPITERONE_API_KEY": "an-api-key"}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=processes.PATIENCE)


def test_the_import_creates_each_part_once():
    with graphql(created) as (requests, url):
        ended = imported(url)
    assert ended.returncode == 0, ended.stderr
    for headers, _body in requests:
        assert (headers["Authorization"], headers["Jupiterone-Account"]) == ("Bearer an-api-key", "nimbus")
    sent = [(re.match(r"mutation (\w+)", body["query"])[1], body["variables"]) for _headers, body in requests]
    questions = [variables["question"] for name, variables in sent if name == "CreateQuestion"]
    assert [it["title"] for it in questions] == [it["title"] for it in content.QUESTION_FILE["questions"]]
    for question, source in zip(questions, content.QUESTION_FILE["questions"]):
        assert set(question) <= QUESTION and all(set(query) == QUESTION_QUERY for query in question["queries"])
        assert [(query["query"], query["includeDeleted"]) for query in question["queries"]] == [
            (query["query"], query.get("includeDeleted", False)) for query in source["queries"]]
    assert [it["instance"] for name, it in sent if name == "CreateInlineQuestionRuleInstance"] == content.RULES
    assert [it["input"] for name, it in sent if name == "CreateWidget"] == content.DASHBOARD["widgets"]
    assert {it["dashboardId"] for name, it in sent if name == "CreateWidget"} == {
        f"createDashboard-{1 + [name for name, _it in sent].index('CreateDashboard')}"}
    name, patch = sent[-1]
    ids = [f"createWidget-{number}" for number, (name, _it) in enumerate(sent, 1) if name == "CreateWidget"]
    assert (name, [item["i"] for item in patch["input"]["layouts"]["lg"]]) == ("PatchDashboard", ids)
    assert len(ended.stdout.splitlines()) == len(questions) + len(content.RULES) + 1


def test_the_import_waits_for_the_rate_limit_and_stops_at_an_error():
    def answer(body, number):
        if number == 1:
            return 429, {"RateLimit-Reset": "0"}, {}
        if number == 4:
            return 200, {}, {"errors": [{"message": "this name is taken"}]}
        return created(body, number)

    with graphql(answer) as (requests, url):
        ended = imported(url, "alert-rules")
    assert ended.returncode == 1 and "this name is taken" in ended.stderr
    names = [body["variables"]["instance"]["name"] for _headers, body in requests]
    assert names == [content.RULES[index]["name"] for index in (0, 0, 1, 2)]
