"""The part of J1QL, JupiterOne's query language, that deploy/jupiterone uses, and an evaluator of it.

A reading of JupiterOne's documentation: its parser is not public.
Whatever is outside the part is an error. Of what the documentation leaves open, no query may depend on it:

- a query has at most one optional traversal, at its end. Chained ones have two readings;
- a negated traversal is the last one;
- only types are found, never classes.
"""

import operator
import re
from collections import Counter
from dataclasses import dataclass, field

KEYWORDS = {"FIND", "WITH", "AS", "THAT", "WHERE", "RETURN", "TREE", "ORDER", "BY", "DESC", "LIMIT", "AND", "OR",
            "undefined", "true", "false", "date", "now", "count"}
# Words that JupiterOne refuses as names, in any case.
RESERVED = {"count", "sum", "avg", "min", "max", "find", "that", "with", "where", "return", "order", "by", "limit",
            "skip", "has", "relates", "to", "from", "and", "or", "not", "true", "false", "null", "undefined", "as",
            "tree"}
TOKEN = re.compile(r"\s*('[^']*'|\d+|[A-Za-z_]\w*|<<|>>|<=|>=|!=|\)\?|[=<>()!.,+-])")
HOURS = {"hours": 1, "days": 24}
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
METADATA = {"_createdOn", "_beginOn", "_endOn", "_deleted"}
UNDEFINED = object()


class Outside(Exception):
    """The query is outside the part of J1QL that is read here."""


@dataclass(frozen=True)
class Now:
    """`date.now`, plus so many hours."""

    hours: int


@dataclass(frozen=True)
class Comparison:
    alias: str | None  # None: the entity that WITH follows
    property: str
    operator: str
    value: object


@dataclass(frozen=True)
class Every:
    of: tuple


@dataclass(frozen=True)
class Some:
    of: tuple


@dataclass(frozen=True)
class Node:
    type: str
    filter: object
    alias: str | None


@dataclass(frozen=True)
class Traversal:
    verb: str
    negated: bool
    optional: bool
    direction: str | None  # ">>": the relationship begins at the entity before
    alias: str | None
    node: Node


@dataclass(frozen=True)
class Column:
    alias: str
    property: str | None  # None: a count of distinct entities
    name: str


@dataclass(frozen=True)
class Query:
    start: Node
    traversals: tuple
    where: object
    columns: tuple | str | None  # None: the entities of the start; "TREE": all that is traversed
    descending: str | None
    limit: int | None

    def nodes(self):
        return [self.start, *(traversal.node for traversal in self.traversals)]


class Parser:
    def __init__(self, text):
        self.tokens = tokens(text)

    def query(self):
        self.expect("FIND")
        start = self.node()
        traversals = []
        while self.peek() in ("THAT", "("):
            if traversals and (traversals[-1].negated or traversals[-1].optional):
                raise Outside("a traversal follows one that is negated or optional")
            traversals.append(self.traversal())
        where = self.either(with_alias=True) if self.take("WHERE") else None
        columns = self.columns() if self.take("RETURN") else None
        descending = limit = None
        if self.take("ORDER"):
            self.expect("BY")
            descending = self.word()
            self.expect("DESC")
        if self.take("LIMIT"):
            limit = int(self.next())
        if self.tokens:
            raise Outside(f"{self.peek()} is not expected")
        return Query(start, tuple(traversals), where, columns, descending, limit)

    def node(self):
        type_ = self.word()
        if not re.fullmatch(r"[a-z][a-z_]*", type_):
            raise Outside(f"{type_} is not a type")
        filter_ = self.either(with_alias=False) if self.take("WITH") else None
        return Node(type_, filter_, self.alias() if self.take("AS") else None)

    def traversal(self):
        optional = self.take("(")
        self.expect("THAT")
        negated = self.take("!")
        verb = self.word()
        alias = self.alias() if self.take("AS") else None
        direction = self.next() if self.peek() in ("<<", ">>") else None
        if alias and (direction or negated) or negated and optional:
            raise Outside("the parts of this traversal are not read together")
        node = self.node()
        if optional:
            self.expect(")?")
        return Traversal(verb, negated, optional, direction, alias, node)

    def either(self, with_alias):
        parts = [self.both(with_alias)]
        while self.take("OR"):
            parts.append(self.both(with_alias))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def both(self, with_alias):
        parts = [self.comparison(with_alias)]
        while self.take("AND"):
            parts.append(self.comparison(with_alias))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def comparison(self, with_alias):
        if self.take("("):
            inner = self.either(with_alias)
            self.expect(")")
            return inner
        alias = None
        if with_alias:
            alias = self.word()
            self.expect(".")
        property_ = self.word()
        compares = self.next()
        if compares not in ("=", "!=", *ORDERS):
            raise Outside(f"{compares} does not compare")
        return Comparison(alias, property_, compares, self.value())

    def value(self):
        token = self.next()
        if token.startswith("'"):
            return token[1:-1]
        if token.isdigit():
            return int(token)
        if token in ("true", "false"):
            return token == "true"
        if token == "undefined":
            return UNDEFINED
        if token == "date":
            self.expect(".")
            self.expect("now")
            if self.peek() not in ("+", "-"):
                return Now(0)
            sign = 1 if self.next() == "+" else -1
            number, unit = int(self.next()), self.next()
            if unit not in HOURS:
                raise Outside(f"{unit} is not a unit of time")
            return Now(sign * number * HOURS[unit])
        raise Outside(f"{token} is not a value")

    def columns(self):
        if self.take("TREE"):
            return "TREE"
        columns = [self.column()]
        while self.take(","):
            columns.append(self.column())
        return tuple(columns)

    def column(self):
        if self.take("count"):
            self.expect("(")
            alias, property_ = self.word(), None
            self.expect(")")
        else:
            alias = self.word()
            self.expect(".")
            property_ = self.word()
        self.expect("AS")
        return Column(alias, property_, self.alias())

    def peek(self):
        return self.tokens[0] if self.tokens else None

    def next(self):
        if not self.tokens:
            raise Outside("the query ends too early")
        return self.tokens.pop(0)

    def take(self, token):
        found = self.peek() == token
        if found:
            self.next()
        return found

    def expect(self, token):
        if not self.take(token):
            raise Outside(f"{token} is expected, not {self.peek()}")

    def alias(self):
        name = self.word()
        if name.lower() in RESERVED:
            raise Outside(f"{name} is reserved")
        return name

    def word(self):
        token = self.next()
        if not re.match(r"[A-Za-z_]", token) or token in KEYWORDS:
            raise Outside(f"{token} is not a name")
        return token


def tokens(text):
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise Outside(f"{text[at:at + 20]!r} is not read")
        found.append(match[1])
        at = match.end()
    return found


def parse(text):
    return Parser(text).query()


@dataclass(frozen=True)
class Schema:
    """What docs/mapping.md says that the graph may hold."""

    properties: dict  # by type
    relationships: set  # (class, type it begins at, type it ends at)

    @classmethod
    def of(cls, mapping):
        shared = set(re.findall(r"`(_?[A-Za-z]+)`", re.search(r"^Every entity has .*$", mapping, re.M)[0]))
        properties = {}
        for section in re.split(r"^## ", mapping, flags=re.M)[1:]:
            named = re.match(r"`(\w+)`", section)
            if named:
                rows = re.findall(r"^\| (`.*?) \|", section, re.M)
                properties[named[1]] = shared | {name for row in rows for name in re.findall(r"`(\w+)`", row)}
        relationships, types = set(), {"account": "anthropic_account", "user": "anthropic_user",
                                       "workspace": "anthropic_workspace", "API key": "anthropic_api_key"}
        for class_, from_, to in re.findall(r"^\| `anthropic_\w+` \| ([A-Z]+) \| (.+?) → (.+?) \|", mapping, re.M):
            relationships.add((class_, types[from_], types[to]))
        properties["ASSIGNED"] = {"displayName", *re.findall(r"property `(\w+)`: `workspace_role`", mapping)}
        return cls(properties, relationships)

    def check(self, query):
        """Every name of the query is one of the graph."""
        before, aliases = query.start, {}
        for node in query.nodes():
            if node.type not in self.properties:
                raise Outside(f"the graph has no type {node.type}")
            declare(aliases, node.alias, self.properties[node.type])
            for comparison in comparisons(node.filter):
                self.known(comparison, self.properties[node.type])
        for traversal in query.traversals:
            forward = (traversal.verb, before.type, traversal.node.type)
            backward = (traversal.verb, traversal.node.type, before.type)
            possible = {">>": {forward}, "<<": {backward}, None: {forward, backward}}[traversal.direction]
            if not possible & self.relationships:
                raise Outside(f"no {traversal.verb} connects {before.type} and {traversal.node.type} so")
            declare(aliases, traversal.alias, self.properties.get(traversal.verb, {"displayName"}))
            before = traversal.node
        columns = query.columns if isinstance(query.columns, tuple) else ()
        for it in [*comparisons(query.where), *columns]:
            if it.alias not in aliases:
                raise Outside(f"{it.alias} is not declared")
            if it.property is not None:
                self.known(it, aliases[it.alias])
        names = Counter(column.name for column in columns)
        if any(count > 1 for count in names.values()):
            raise Outside("two columns have one name")
        if query.descending is not None and query.descending not in names:
            raise Outside(f"{query.descending} is not a column")

    @staticmethod
    def known(it, properties):
        if it.property not in properties | METADATA:
            raise Outside(f"the graph has no property {it.property} there")


def declare(aliases, alias, properties):
    if alias in aliases:
        raise Outside(f"{alias} is declared twice")
    if alias is not None:
        aliases[alias] = properties


def comparisons(expression):
    if expression is None:
        return []
    if isinstance(expression, Comparison):
        return [expression]
    return [comparison for part in expression.of for comparison in comparisons(part)]


def without(expression, comparison):
    """The expression without a comparison that is in it."""
    if isinstance(expression, Comparison):
        return None if expression is comparison else expression
    parts = [without(part, comparison) for part in expression.of]
    return type(expression)(tuple(part for part in parts if part is not None))


@dataclass
class Graph:
    entities: list
    relationships: list
    _by_key: dict = field(init=False)
    _at: dict = field(init=False)

    def __post_init__(self):
        self._by_key = {entity["_key"]: entity for entity in self.entities}
        self._at = {}
        for relationship in self.relationships:
            for end in ("_fromEntityKey", "_toEntityKey"):
                self._at.setdefault(relationship[end], []).append(relationship)

    def without_deleted(self):
        return Graph(*([it for it in all_ if not it["_deleted"]] for all_ in (self.entities, self.relationships)))

    def reached(self, entity, traversal, now):
        """The relationships that a traversal from an entity takes, each with the entity at its other end."""
        for relationship in self._at.get(entity["_key"], []):
            forward = relationship["_fromEntityKey"] == entity["_key"]
            other = self._by_key.get(relationship["_toEntityKey" if forward else "_fromEntityKey"])
            if (traversal.verb in listed(relationship["_class"]) and other is not None
                    and traversal.direction in (None, ">>" if forward else "<<")
                    and selects(traversal.node, other, now)):
                yield relationship, other


def evaluate(query, graph, now):
    """Without RETURN, the entities' keys; with TREE, the keys of all that is traversed; else the rows, as dicts."""
    paths = []
    for entity in graph.entities:
        if selects(query.start, entity, now):
            paths.append(([entity], {query.start.alias: entity}))
    for traversal in query.traversals:
        paths = [longer for path in paths for longer in extended(path, traversal, graph, now)]
    if query.where is not None:
        paths = [path for path in paths if holds(query.where, path[1], now)]
    if query.columns is None:
        return {path[0]["_key"] for path, _aliases in paths}
    if query.columns == "TREE":
        return {it["_key"] for path, _aliases in paths for it in path}
    rows = table(query.columns, [aliases for _path, aliases in paths])
    if query.descending is not None:
        rows.sort(key=lambda row: row[query.descending], reverse=True)
    return rows[:query.limit]


def extended(path, traversal, graph, now):
    taken, aliases = path
    reached = list(graph.reached(taken[-1], traversal, now))
    if traversal.negated:
        return [] if reached else [path]
    if traversal.optional and not reached:
        return [(taken, {**aliases, traversal.node.alias: {}})]
    return [([*taken, relationship, other],
             {**aliases, traversal.alias: relationship, traversal.node.alias: other})
            for relationship, other in reached]


def table(columns, matches):
    """A row for each match; with counts, a row for each combination of the other columns."""
    plain = [column for column in columns if column.property is not None]
    counts = [column for column in columns if column.property is None]
    rows = [{column.name: hashable(match[column.alias].get(column.property)) for column in plain} for match in matches]
    if not counts:
        return rows
    groups = {} if plain else {(): {column.name: set() for column in counts}}
    for row, match in zip(rows, matches):
        group = groups.setdefault(tuple(row.items()), {column.name: set() for column in counts})
        for column in counts:
            group[column.name].add(match[column.alias]["_key"])
    return [{**dict(row), **{name: len(keys) for name, keys in group.items()}} for row, group in groups.items()]


def selects(node, entity, now):
    return entity["_type"] == node.type and (node.filter is None or holds(node.filter, {None: entity}, now))


def holds(expression, aliases, now):
    if isinstance(expression, Every):
        return all(holds(part, aliases, now) for part in expression.of)
    if isinstance(expression, Some):
        return any(holds(part, aliases, now) for part in expression.of)
    found, wanted = aliases[expression.alias].get(expression.property), expression.value
    if isinstance(wanted, Now):
        wanted = now + wanted.hours * 3_600_000
    if expression.operator == "!=":
        return not equals(found, wanted)
    if expression.operator == "=":
        return equals(found, wanted)
    return type(found) is int and ORDERS[expression.operator](found, wanted)


def equals(found, wanted):
    """A property that is absent equals `undefined` alone; one with several values equals each of them."""
    if wanted is UNDEFINED:
        return found is None
    return any(type(one) is type(wanted) and one == wanted for one in listed(found))


def listed(value):
    return value if isinstance(value, list) else [value]


def hashable(value):
    return tuple(value) if isinstance(value, list) else value
