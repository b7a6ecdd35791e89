"""The queries of deploy/jupiterone, each with the fact that it should answer (`expectations.py`)."""

import functools
import json
from collections import Counter
from dataclasses import dataclass

import yaml

import expectations
import j1ql
import processes

FOLDER = processes.ROOT / "deploy" / "jupiterone"
# Begins each question's ID.
PREFIX = "integration-question-anthropic-graph-"
# The most rows that a table widget shows.
TABLE_ROWS = 250

QUESTION_FILE = yaml.safe_load((FOLDER / "questions.yaml").read_text())
RULES = [rule["instance"] for rule in json.loads((FOLDER / "alert-rules.json").read_text())]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
SCHEMA = j1ql.Schema.of((processes.ROOT / "docs" / "mapping.md").read_text())


@dataclass
class Asked:
    """A query of the content, parsed; its names are names of the graph."""

    name: str
    query: j1ql.Query
    include_deleted: bool
    fact: expectations.Fact
    chart: str | None = None  # the widget's type


@functools.cache
def asked():
    """All queries of questions, rules and widgets."""
    found = []

    def ask(name, text, include_deleted, fact, chart=None):
        query = j1ql.parse(text)
        SCHEMA.check(query)
        found.append(Asked(name, query, include_deleted, expectations.FACTS[fact], chart))

    for question in QUESTION_FILE["questions"]:
        facts = expectations.QUESTIONS[question["id"].removeprefix(PREFIX)]
        for query in question["queries"]:
            name = f"{question['id'].removeprefix(PREFIX)}.{query['name']}"
            ask(name, query["query"], query.get("includeDeleted", False), facts[query["name"]])
    for rule in RULES:
        [query] = rule["question"]["queries"]
        ask(rule["name"], query["query"], query["includeDeleted"], expectations.RULES[rule["name"]])
    for widget in DASHBOARD["widgets"]:
        for query in widget["config"]["queries"]:
            fact = expectations.WIDGETS[widget["title"]]
            ask(widget["title"], query["query"], widget["includeDeleted"], fact, widget["type"])
    return found


class World:
    """What JupiterOne holds of an organization, the syncs that brought it there, and as of when it is asked."""

    def __init__(self, syncs, view, moments, before=None):
        self.history = expectations.History(syncs)
        self.moments = moments
        self.before = before  # the same organization before the last sync
        self._with_deleted = j1ql.Graph(view["entities"], view["relationships"])
        self._living = self._with_deleted.without_deleted()

    def answer(self, query, include_deleted, now):
        return j1ql.evaluate(query, self._with_deleted if include_deleted else self._living, now)

    def check(self):
        """Each query answers what the truth says that it should."""
        for now in self.moments:
            for it in asked():
                found = self.answer(it.query, it.include_deleted, now)
                expected = answer_of(it.query, it.fact.hits(self.history, now))
                if isinstance(found, list):
                    assert len(expected) <= TABLE_ROWS, "the organization is too large for whole tables"
                    found, expected = counted(found), counted(expected)
                assert found == expected, (it.name, now)


def answer_of(query, hits):
    if query.columns is None:
        return expectations.keys_of(hits)
    if query.columns == "TREE":
        return expectations.keys_of_paths(hits)
    return expectations.rows(hits, [(column.name, column.alias, column.property) for column in query.columns])


def counted(rows):
    return Counter(tuple(sorted(row.items())) for row in rows)
