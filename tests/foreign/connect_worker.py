"""Kafka Connect and PostgreSQL as processes of this run."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from types import SimpleNamespace

import psycopg
import requests

import processes

CONNECT = processes.TARGET / "foreign" / "connect"
CONFIGURATION = pathlib.Path(__file__).parent / "connect"
CONNECTORS = ["elements", "workspaces"]
# PostgreSQL refuses to run as root.
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def postgresql_program(name):
    installed = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or (installed and str(installed[-1]))
    assert found, f"{name} is missing; install PostgreSQL (Debian: postgresql)"
    return found


@contextlib.contextmanager
def postgresql():
    """A database of its own, by the addresses that libpq and Java's driver take."""
    port = free_port()
    folder = tempfile.mkdtemp(prefix="postgresql-")
    as_nobody = NOBODY if os.geteuid() == 0 else []
    if as_nobody:
        shutil.chown(folder, "nobody", "nogroup")
    data = f"{folder}/data"
    initialize = [postgresql_program("initdb"), "-D", data, "-U", "graph", "-A", "trust", "--no-sync"]
    subprocess.run(as_nobody + initialize, check=True, stdout=subprocess.DEVNULL, cwd="/")
    # Nothing of it outlives the test, so it need not reach the disk.
    serve = [postgresql_program("postgres"), "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"]
    with open(f"{folder}.log", "w") as log:
        process = subprocess.Popen(as_nobody + serve, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
    try:
        address = f"host=127.0.0.1 port={port} user=graph dbname=postgres"
        deadline = time.monotonic() + processes.PATIENCE
        while not takes_connections(address):
            assert process.poll() is None and time.monotonic() < deadline, open(f"{folder}.log").read()
            time.sleep(0.1)
        yield SimpleNamespace(address=address, jdbc=f"jdbc:postgresql://127.0.0.1:{port}/postgres")
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)
        os.remove(f"{folder}.log")


def takes_connections(address):
    try:
        psycopg.connect(address).close()
        return True
    except psycopg.OperationalError:
        return False


@contextlib.contextmanager
def worker(folder, servers, registry, database, topic):
    """A worker of Kafka Connect that runs the connectors."""
    url = f"http://127.0.0.1:{free_port()}"
    settings = {
        "bootstrap.servers": servers,
        "value.converter.apicurio.registry.url": registry,
        "plugin.path": f"{CONNECT}/plugins",
        "offset.storage.file.filename": f"{folder}/connect.offsets",
        "listeners": url,
    }
    table = {"topics": topic, "connection.url": database.jdbc, "connection.username": "graph",
             "connection.password": "unused"}
    files = [written(folder, "worker", settings), *(written(folder, name, table) for name in CONNECTORS)]
    shutil.copy(processes.ROOT / "tests" / "kafka" / "log4j2.xml", folder)
    log = folder / "connect.log"
    command = ["java", "-Xmx512m", "-cp", f"{folder}:{CONNECT}/worker/*",
               "org.apache.kafka.connect.cli.ConnectStandalone", *files]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield Worker(url, process, log)
    finally:
        process.kill()
        process.wait()


def written(folder, name, settings):
    """The configuration of that name with the settings of this run."""
    path = folder / f"{name}.properties"
    lines = [f"{key}={value}" for key, value in settings.items()]
    path.write_text((CONFIGURATION / path.name).read_text() + "\n".join(lines) + "\n")
    return str(path)


class Worker:
    """A running worker of Kafka Connect."""

    def __init__(self, url, process, log):
        self.url, self.process, self.log = url, process, log

    def failure(self):
        """Why it does not work, if it does not."""
        if self.process.poll() is not None:
            return self.log.read_text()
        for name in CONNECTORS:
            try:
                status = requests.get(f"{self.url}/connectors/{name}/status", timeout=processes.REQUEST_TIMEOUT)
            except requests.ConnectionError:
                continue
            # While it starts it has none.
            for task in status.json()["tasks"] if status.ok else []:
                if task["state"] == "FAILED":
                    return task["trace"]
        return None
