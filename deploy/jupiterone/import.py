#!/usr/bin/env python3
"""Creates the questions, alert rules and dashboard of this folder in a JupiterOne account.

    JUPITERONE_API_KEY=… deploy/jupiterone/import.py --account ID [--region us] [questions] [alert-rules] [dashboard]

Needs Python 3.9 and PyYAML, and an API key of the account that may create them. Without a name, all three are created.
It creates and never updates: run again, it creates questions and a dashboard a second time.
"""

import argparse
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

import yaml

FOLDER = pathlib.Path(__file__).resolve().parent
# JupiterOne allows some accounts 10 requests a minute.
ATTEMPTS = 10
LONGEST_WAIT_SECONDS = 120
REQUEST_TIMEOUT_SECONDS = 60

CREATE_QUESTION = """mutation CreateQuestion($question: CreateQuestionInput!) {
  createQuestion(question: $question) { id }
}"""
CREATE_RULE = """mutation CreateInlineQuestionRuleInstance($instance: CreateInlineQuestionRuleInstanceInput!) {
  createInlineQuestionRuleInstance(instance: $instance) { id }
}"""
CREATE_DASHBOARD = """mutation CreateDashboard($input: CreateInsightsDashboardInput!) {
  createDashboard(input: $input) { id }
}"""
CREATE_WIDGET = """mutation CreateWidget($dashboardId: String!, $input: CreateInsightsWidgetInput!) {
  createWidget(dashboardId: $dashboardId, input: $input) { id }
}"""
PATCH_DASHBOARD = """mutation PatchDashboard($input: PatchInsightsDashboardInput!) {
  patchDashboard(input: $input) { id }
}"""


class Failed(Exception):
    """JupiterOne refused a request."""


class JupiterOne:
    def __init__(self, url, account, api_key):
        self.url = url
        self.headers = {"Authorization": f"Bearer {api_key}", "JupiterOne-Account": account,
                        "Content-Type": "application/json"}

    def mutate(self, mutation, **variables):
        """The one object that the mutation answers. Waits where JupiterOne asks for it."""
        body = json.dumps({"query": mutation, "variables": variables}).encode()
        for _ in range(ATTEMPTS):
            request = urllib.request.Request(self.url, body, self.headers)
            try:
                with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_SECONDS) as response:
                    answer = json.load(response)
            except urllib.error.HTTPError as error:
                if error.code != 429:
                    raise Failed(f"HTTP {error.code}: {error.read(1000).decode(errors='replace')}") from error
                wait(error.headers.get("RateLimit-Reset"))
                continue
            messages = "; ".join(error.get("message", "?") for error in answer.get("errors") or [])
            # The rate limit also comes as an error with status 200.
            if "429" in messages:
                wait(None)
                continue
            if messages:
                raise Failed(messages)
            [created] = answer["data"].values()
            return created
        raise Failed("the rate limit did not end")


def wait(reset):
    seconds = float(reset) if reset and reset.isdigit() else 60
    time.sleep(min(seconds, LONGEST_WAIT_SECONDS))


def create_questions(jupiterone):
    for question in yaml.safe_load((FOLDER / "questions.yaml").read_text(encoding="utf-8"))["questions"]:
        queries = [{"version": "v1", "includeDeleted": False, **query} for query in question["queries"]]
        told = {name: question[name] for name in ("title", "description", "tags")}
        created = jupiterone.mutate(CREATE_QUESTION, question={**told, "queries": queries})
        print(f"question   {created['id']}  {question['title']}", flush=True)


def create_alert_rules(jupiterone):
    for rule in json.loads((FOLDER / "alert-rules.json").read_text(encoding="utf-8")):
        created = jupiterone.mutate(CREATE_RULE, instance=rule["instance"])
        print(f"alert rule {created['id']}  {rule['instance']['name']}", flush=True)


def create_dashboard(jupiterone, name, kind):
    board = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    dashboard = jupiterone.mutate(CREATE_DASHBOARD, input={"name": name, "type": kind})["id"]
    # JupiterOne gives each widget an id of its own, by which the layout has to name it.
    ids = {widget["id"]: jupiterone.mutate(CREATE_WIDGET, dashboardId=dashboard, input=widget)["id"]
           for widget in board["widgets"]}
    layouts = {size: [{**item, "i": ids[item["i"]]} for item in items] for size, items in board["layouts"].items()}
    jupiterone.mutate(PATCH_DASHBOARD, input={"dashboardId": dashboard, "layouts": layouts})
    print(f"dashboard  {dashboard}  {name}", flush=True)


def main():
    parts = ["questions", "alert-rules", "dashboard"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help="questions, alert-rules or dashboard; all if absent")
    parser.add_argument("--account", required=True, help="the JupiterOne account's id")
    parser.add_argument("--region", default="us", help="us (default) or eu")
    parser.add_argument("--graphql-url", help="in place of the region's")
    parser.add_argument("--dashboard-name", default="Anthropic access", help="default: Anthropic access")
    parser.add_argument("--dashboard-type", default="Account", choices=["Account", "User"],
                        help="for the whole account (default), or for the API key's user")
    arguments = parser.parse_args()
    if not set(arguments.parts) <= set(parts):
        parser.error(f"a part is one of {', '.join(parts)}")
    api_key = os.environ.get("JUPITERONE_API_KEY", "").strip()
    if not api_key:
        parser.error("set JUPITERONE_API_KEY")
    url = arguments.graphql_url or f"https://graphql.{arguments.region}.jupiterone.io"
    jupiterone = JupiterOne(url, arguments.account, api_key)
    wanted = arguments.parts or parts
    try:
        if "questions" in wanted:
            create_questions(jupiterone)
        if "alert-rules" in wanted:
            create_alert_rules(jupiterone)
        if "dashboard" in wanted:
            create_dashboard(jupiterone, arguments.dashboard_name, arguments.dashboard_type)
    except (Failed, OSError) as error:
        sys.exit(f"import.py: {error}")


if __name__ == "__main__":
    main()
