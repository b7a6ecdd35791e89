"""An Element of the topics as JupiterOne's properties, by the comments of schemas/avro/element.avsc."""

import re
from datetime import timedelta

from mapping import EPOCH

NULLABLE = {"email", "username", "shortLoginId", "firstName", "lastName"}


def properties(element):
    found = {"_key": element["key"], "_type": element["type"], "displayName": element["display_name"]}
    if element["from_key"] is not None:
        ends = {"_fromEntityKey": element["from_key"], "_toEntityKey": element["to_key"]}
        return {**found, **ends, "_class": element["class"], **filled(element["user_assigned_workspace"])}
    kind = element["type"].removeprefix("anthropic_")
    found |= {"_class": [element["class"]], **filled(element[kind])}
    if kind == "user":
        found |= {name: found.get(name) for name in NULLABLE}
        found |= {"addedOn": found["createdOn"]} if "createdOn" in found else {}
    if element["account_name"] is not None:
        found["tag.AccountName"] = element["account_name"]
    return found


def filled(record):
    found = {}
    for column, value in (record or {}).items():
        if column == "tags":
            found |= {f"tag.{name}": text for name, text in value.items()}
        elif value not in (None, []):
            found[camel(column)] = milliseconds(value) if column.endswith("_on") else value
    return found


def camel(column):
    return re.sub(r"_([a-z])", lambda letter: letter[1].upper(), column)


def milliseconds(instant):
    return (instant - EPOCH) // timedelta(milliseconds=1)
