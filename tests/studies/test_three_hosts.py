"""Three hosts in network namespaces: a study runs from the first, where the scheduler is, on workers of the other two."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from executed_studies import FILES, content, worker_processes

ADDRESSES = {"a": "10.77.1.1", "b": "10.77.1.2", "c": "10.77.1.3"}
SCHEDULER = f"tcp://{ADDRESSES['a']}:8786"
STUDY = """
problem = "mine.py:make(width=64, rows=600)"
steps = 2000
evaluate_every = 1000
batch = 64
seeds = 4
ladder = false
arms = ["gradient_descent(log_uniform(0.01, 0.1))", "heavy_ball(0.01, 0.9)"]
search = { trials = 2, seeds = 2 }
"""


def command(*words):
    return [sys.executable, "-c", "import sys; from momentum_jax.cli import main; sys.exit(main(sys.argv[1:]))", *words]


class Hosts:
    """Namespaces that one switch connects, which is in the first; processes in them end with this object."""

    def __init__(self):
        self.prefix, self.processes = f"mj{os.getpid() % 100_000}", []

    def name(self, host):
        return f"{self.prefix}{host}"

    def start(self, host, words, **options):
        process = subprocess.Popen(["ip", "netns", "exec", self.name(host), *words], **options)
        self.processes.append(process)
        return process

    def connect(self):
        def ip(*words):
            subprocess.run(["ip", *words], check=True, capture_output=True)

        for host in ADDRESSES:
            ip("netns", "add", self.name(host))
            ip("-n", self.name(host), "link", "set", "lo", "up")
        first = self.name("a")
        ip("-n", first, "link", "add", "switch", "type", "bridge")
        ip("-n", first, "addr", "add", f"{ADDRESSES['a']}/24", "dev", "switch")
        ip("-n", first, "link", "set", "switch", "up")
        for host in ("b", "c"):
            ip("-n", first, "link", "add", f"to-{host}", "type", "veth", "peer", "name", "net", "netns", self.name(host))
            ip("-n", first, "link", "set", f"to-{host}", "master", "switch", "up")
            ip("-n", self.name(host), "addr", "add", f"{ADDRESSES[host]}/24", "dev", "net")
            ip("-n", self.name(host), "link", "set", "net", "up")

    def close(self):
        for process in self.processes:
            for each in [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else []:
                each.kill()
            process.wait()
        for host in ADDRESSES:
            subprocess.run(["ip", "netns", "delete", self.name(host)], check=False, capture_output=True)


@pytest.fixture
def hosts():
    found = Hosts()
    try:
        found.connect()
    except (OSError, subprocess.CalledProcessError) as error:
        found.close()
        pytest.skip(f"network namespaces cannot be made here ({error})")
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
def test_three_hosts_bring_the_bits_of_one_though_workers_and_a_whole_host_are_killed(hosts, tmp_path):
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    shutil.copy(FILES / "regression_file.py", home / "mine.py")
    (home / "study.toml").write_text(STUDY)
    (home / "embedded.toml").write_text(STUDY)
    subprocess.run(command("study", "run", "embedded.toml", "--cores", "1"), cwd=home, check=True, capture_output=True)

    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", ADDRESSES["a"], "--port", "8786"]
    hosts.start("a", [*scheduler, "--no-dashboard", "--no-jupyter"], cwd=away)
    serve = command("worker", "--scheduler", SCHEDULER, "--cores", "1")
    nannies = {host: hosts.start(host, serve, cwd=away) for host in ("b", "c")}
    study = hosts.start("a", command("study", "run", "study.toml", "--scheduler", SCHEDULER), cwd=home)

    moments, killed, lines = random.Random(0), 0, home / "study" / "runs.jsonl"
    while study.poll() is None:
        time.sleep(moments.uniform(0.1, 0.8))
        begun = lines.exists() and lines.stat().st_size
        if begun and not killed:
            # The host is lost, nanny and all; another takes its place.
            for each in [*worker_processes(nannies["c"].pid), psutil.Process(nannies["c"].pid)]:
                each.kill()
            nannies["c"] = hosts.start("c", serve, cwd=away)
            killed += 1
        elif begun and killed < 3 and (processes := worker_processes(nannies["b"].pid)):
            os.kill(processes[0].pid, signal.SIGKILL)
            killed += 1
    assert study.returncode == 0
    assert killed >= 2
    assert content(home / "study") == content(home / "embedded")
    for nanny in nannies.values():
        nanny.send_signal(signal.SIGINT)
        assert nanny.wait(30) == 130
