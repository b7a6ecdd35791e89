#!/usr/bin/env python3
"""Prints the dashboard's expressions as recording rules, so that `promtool check rules` finds a mistake in them."""

import json
from pathlib import Path

dashboard = json.loads((Path(__file__).parent / "dashboards/anthropic-graph.json").read_text())
variables = {"$organization": ".*", "$__rate_interval": "1m"}
rules = []
for panel in dashboard["panels"]:
    for target in panel.get("targets", []):
        expression = target["expr"]
        for name, value in variables.items():
            expression = expression.replace(name, value)
        labels = {"panel": f"{panel['id']} {panel['title']}", "target": target["refId"]}
        rules.append({"record": "panel", "expr": expression, "labels": labels})
# JSON is YAML.
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
