"""The project's binaries as processes, and the control of the simulator."""

import contextlib
import os
import pathlib
import socket
import subprocess
import threading
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# How long a command that ends by itself may take (seconds).
PATIENCE = 120
# A broker whose jars are not in the cache yet is fetched first (seconds).
BROKER_PATIENCE = 600
# How long a request to a loopback server may take (seconds).
REQUEST_TIMEOUT = 30
# Of what JupiterOne names with an underscore, what an upload carries.
UPLOADED_UNDERSCORES = ("_key", "_type", "_class", "_fromEntityKey", "_toEntityKey")


def binary(name):
    path = TARGET / "debug" / name
    assert path.is_file(), f"{path} is missing: run tests/foreign/run, which builds it"
    return path


@contextlib.contextmanager
def running(arguments, stderr, patience):
    """A process that prints lines and is ended with the block. It is killed when it stays silent."""
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True
    )
    silence = threading.Timer(patience, process.kill)
    silence.start()
    try:
        yield process, silence
    finally:
        silence.cancel()
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def broker(folder):
    """The address of a Kafka broker: the one given by the environment, else one for this process alone."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "").strip()
    if given:
        yield given
        return
    log = folder / "broker.log"
    arguments = [binary("test-broker"), str(os.getpid()), str(folder / "broker")]
    with log.open("w") as stderr, running(arguments, stderr, BROKER_PATIENCE) as (process, silence):
        address = process.stdout.readline().strip()
        silence.cancel()
        assert address, log.read_text()
        yield address


@contextlib.contextmanager
def schema_registry(folder):
    """The URL of an Apicurio Registry in memory, by Confluent's API, with its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    [jar] = (TARGET / "foreign" / "apicurio").glob("*-runner.jar")
    arguments = ["java", "-Xmx400m", "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}", "-jar", jar]
    log = folder / "registry.log"
    with log.open("w") as output:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(f"{url}/subjects"):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield url, process
    finally:
        process.kill()
        process.wait()


def answers(url):
    try:
        return requests.get(url, timeout=REQUEST_TIMEOUT).ok
    except requests.ConnectionError:
        return False


class Simulator:
    """Both simulated ends, with the configuration they wrote for the services."""

    def __init__(self, folder, lines):
        said = dict(line.strip().rsplit(maxsplit=1) for line in lines)
        self.anthropic, self.admin_key = said["anthropic"], said["admin key"]
        self.organization_id = said["organization"]
        self.jupiterone, self.account, self.api_key = said["jupiterone"], said["account"], said["api key"]
        self.config = folder / "simulated.toml"

    def control(self, method, path, body=None, end="anthropic"):
        """An answer of `/_simulator/`."""
        url = f"{getattr(self, end)}/_simulator/{path}"
        answer = requests.request(method, url, json=body, timeout=REQUEST_TIMEOUT)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def truth(self):
        return self.control("GET", "organization")

    def graph(self, scope):
        """What was uploaded of a scope, by key: JupiterOne's own fields begin with an underscore."""
        view = self.control("GET", f"graph?scope={scope}", end="jupiterone")
        return {
            element["_key"]: {
                name: value for name, value in element.items()
                if not name.startswith("_") or name in UPLOADED_UNDERSCORES
            }
            for element in view["entities"] + view["relationships"]
        }

    def listed(self, path):
        """A list of the Admin API, with everything that can be had in one page."""
        query = {"limit": 1000, "include_archived": "true", "include_default": "true"}
        headers = {"x-api-key": self.admin_key, "anthropic-version": "2023-06-01"}
        url = f"{self.anthropic}/v1/organizations/{path}"
        answer = requests.get(url, params=query, headers=headers, timeout=REQUEST_TIMEOUT)
        answer.raise_for_status()
        body = answer.json()
        if "data" not in body:
            return [body]
        assert not body["has_more"], f"{path} is more than a page"
        return body["data"]


ANNOUNCEMENT_LINES = 8


@contextlib.contextmanager
def simulator(folder, *arguments):
    arguments = [binary("simulator"), *arguments, "--write-config", str(folder / "simulated.toml")]
    log = folder / "simulator.log"
    with log.open("w") as stderr, running(arguments, stderr, PATIENCE) as (process, silence):
        lines = [process.stdout.readline() for _ in range(ANNOUNCEMENT_LINES)]
        silence.cancel()
        assert all(lines), log.read_text()
        yield Simulator(folder, lines)


def service(name, config, *arguments, environment, code=0):
    """Runs a command of a service, which must end with this code."""
    ended = subprocess.run(
        [binary(name), "--config", str(config), *arguments],
        env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=PATIENCE,
    )
    said = f"{name} {' '.join(arguments)} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    assert ended.returncode == code, said
    return ended.stdout if code == 0 else ended.stderr
