"""The demo on a real one-node Kubernetes: from an empty machine to a served model, with kubectl and Helm as a user would.

All its files lie in `.cluster`. `make cluster-down` stops the node; the next run uses the node that is there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import binaries, machine
from cluster.development import python_mounts
from cluster.errors import ClusterError
from cluster.node import NodeCluster
from demo import print_baseline_comparison
from images import store, targets
from images.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".cluster"
CLAIM = STATE / "demo"
"""A copy of `.tuneloop/claims/demo` that the user of the pods owns; the files of the source tree keep their owner."""
NAMESPACE = "tuneloop-system"
OWNER = 1000
"""User and group of all pods (`children.uid`, `children.gid` of the chart)."""
SENTENCE = "a warm , funny and quietly moving film"
_POLL_SECONDS = 2.0
_PRINT_SECONDS = 10.0
"""Time between two lines of progress; a change of phase prints a line at once."""
_SERVER_SECONDS = 300.0
_RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


class DemoError(Exception):
    """The demo cannot continue; the message is one line."""


class Stopwatch:
    """Measures the time of each part."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Print the name of a part, and measure its time."""
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        yield
        self.parts[name] = time.monotonic() - began

    def print(self) -> None:
        """Print all parts, in minutes."""
        print("\nminutes")
        for name, seconds in {**self.parts, "in all": sum(self.parts.values())}.items():
            print(f"  {seconds / 60:5.1f}  {name}")


class Shell:
    """Runs kubectl and Helm on one cluster, and prints each command."""

    def __init__(self, cluster: NodeCluster, *, helm: Path) -> None:
        self._programs = {"kubectl": cluster.bin / "kubectl", "helm": helm}
        home = {"HELM_CACHE_HOME": "helm/cache", "HELM_CONFIG_HOME": "helm/config", "HELM_DATA_HOME": "helm/data"}
        self._environment = os.environ | {name: str(cluster.state / folder) for name, folder in home.items()}
        self._environment |= {"KUBECONFIG": str(cluster.kubeconfig)}

    def run(self, *command: str) -> None:
        """Print a command line, and run it. Raises DemoError."""
        print(f"$ {' '.join(command)}", flush=True)
        self.quietly(*command)

    def quietly(self, *command: str) -> str:
        """Run a command line without printing it, and return its output. Raises DemoError."""
        program, *arguments = command
        done = subprocess.run(
            [str(self._programs[program]), *arguments],
            cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            output = " ".join((done.stderr or done.stdout).split())
            raise DemoError(f"{program} {arguments[0]} ended with {done.returncode}: {output[-600:]}")
        return done.stdout

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object of the demo's namespace. Raises DemoError."""
        found: dict[str, Any] = json.loads(self.quietly("kubectl", "get", kind, name, "-n", NAMESPACE, "-o", "json"))
        return found


def main() -> int:
    """Return 0 if every part worked."""
    watch = Stopwatch()
    try:
        shell = _cluster(watch)
        with watch.part("fine-tune and serve (examples/reviews)"):
            shell.run("kubectl", "apply", "-n", NAMESPACE, "-f", "examples/reviews/")
            job = _follow(shell)
            url = _served_url(shell)
        _request(url)
    except (DemoError, ClusterError, ImageError, OSError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        print(f"What runs stays for a look ({_environment()}); end it with: make cluster-down", file=sys.stderr)
        return 1
    print_baseline_comparison(job)
    _print_places(job, url)
    watch.print()
    return 0


def _cluster(watch: Stopwatch) -> Shell:
    """Bring up the node with everything that the examples need."""
    helm = prepared(watch)
    with watch.part("images (built again when what is in them changes)"):
        operator, development = (targets.build(target, say=print) for target in ("operator", "development"))
    with watch.part("a node"):
        cluster = NodeCluster(STATE, mounts=python_mounts(ROOT / ".venv"), die_with_parent=False)
        cluster.up()
        for image in (operator, development):
            cluster.load_image(image.archive)
    shell = Shell(cluster, helm=helm)
    with watch.part("the operator (Helm), in a namespace that admits only restricted pods, and a claim"):
        restrict(shell, NAMESPACE)
        fill_claim(CLAIM, "minilm", "movie-reviews.csv")
        cluster.share("demo", CLAIM, namespace=NAMESPACE)
        # the image's tag never changes: another annotation in the pod template makes a new pod; the letter, as Helm makes numbers of digits
        build = operator.tag.rpartition(":")[2]
        install(shell, {"image.repository": "docker.io/tuneloop/operator", "podAnnotations.build": f"b{build}"})
        # objects of an earlier run; its files stay on the claim
        shell.run("kubectl", "delete", "-n", NAMESPACE, "-f", "examples/reviews/", "--ignore-not-found")
    return shell


def prepared(watch: Stopwatch) -> Path:
    """Install and build what a node needs; return Helm."""
    with watch.part("Debian packages"):
        machine.install_packages(say=print)
        store.install_packages(say=print)
    with watch.part("programs of Kubernetes and Helm (built once per machine)"):
        binaries.ensure(*binaries.NODE, say=print)
        return binaries.ensure("helm", say=print) / "helm"


def restrict(shell: Shell, namespace: str) -> None:
    """Let a namespace, which is made if it is missing, admit only restricted pods. Raises DemoError."""
    if not shell.quietly("kubectl", "get", "namespace", namespace, "--ignore-not-found"):
        shell.run("kubectl", "create", "namespace", namespace)
    shell.run("kubectl", "label", "--overwrite", "namespace", namespace, _RESTRICTED)


def fill_claim(claim: Path, *names: str) -> None:
    """Copy files or folders of `.tuneloop/claims/demo` that a claim lacks, and give all of it to the user of the pods. Raises DemoError."""
    source = ROOT / ".tuneloop" / "claims" / "demo"
    claim.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (source / name).exists():
            raise DemoError(f"{source / name} is missing: make setup brings it")
        if (claim / name).exists():
            continue
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        copy(source / name, claim / name)
    for path in (claim, *claim.rglob("*")):
        os.chown(path, OWNER, OWNER, follow_symlinks=False)


def install(shell: Shell, values: Mapping[str, str]) -> None:
    """Install or upgrade the chart, all from the development image but for what `values` say. Raises DemoError."""
    image = "docker.io/tuneloop/development"
    chosen = {
        "image.repository": image,
        "image.tag": "dev",
        "trainer.image.repository": image,
        "trainer.image.tag": "dev",
        "server.image.repository": image,
        "server.image.tag": "dev",
        "children.imagePullPolicy": "Never",
        "progress.intervalSeconds": "2",
    }
    given = [argument for name, value in (chosen | dict(values)).items() for argument in ("--set", f"{name}={value}")]
    shell.run(
        *("helm", "upgrade", "--install", "tuneloop", "charts/tuneloop"),
        *("--namespace", NAMESPACE, "--wait", "--timeout", "5m", *given),
    )


def _follow(shell: Shell) -> dict[str, Any]:
    """Print the job's progress until it has succeeded, and return the job. Raises DemoError if the job fails."""
    began = printed = time.monotonic()
    phase = ""
    while True:
        job = shell.get("finetunejob", "reviews")
        status = job.get("status") or {}
        now = time.monotonic()
        if status.get("phase", "") != phase or now - printed >= _PRINT_SECONDS:
            phase, printed = status.get("phase", ""), now
            print(f"  {now - began:5.0f} s  {_line(status)}", flush=True)
        if phase == "Succeeded":
            return job
        if phase == "Failed":
            failure = status.get("failure") or {}
            reasons = [failure.get("message", "no reason given"), failure.get("hint")]
            raise DemoError(f"the job failed: {'; '.join(filter(None, reasons))}")
        time.sleep(_POLL_SECONDS)


def _line(status: dict[str, Any]) -> str:
    progress = status.get("progress") or {}
    parts = [f"{status.get('phase', 'Pending'):<11}", f"{progress.get('percent', ''):>4}"]
    if "workers" in status:
        parts.append(f"workers {status['workers']}")
    if status.get("phase") == "Running" and "step" in progress:
        parts.append(f"step {progress['step']}/{progress.get('totalSteps', '?')}")
        parts += [f"loss {progress['loss']:.4f}"] if "loss" in progress else []
        parts += [f"ETA {progress['eta']}"] if "eta" in progress else []
    return "  ".join(parts)


def _served_url(shell: Shell) -> str:
    """Wait until the deployment is ready; return the address of its Service, which this machine can reach. Raises DemoError."""
    deadline = time.monotonic() + _SERVER_SECONDS
    while (status := shell.get("modeldeployment", "reviews").get("status") or {}).get("phase") != "Ready":
        if time.monotonic() > deadline:
            conditions = {item["type"]: item.get("message") for item in status.get("conditions") or ()}
            raise DemoError(f"the model is not served after {_SERVER_SECONDS:.0f} s: {conditions}")
        time.sleep(_POLL_SECONDS)
    print(f"  the model is served: {status['url']} in the cluster")
    return f"http://{shell.get('service', 'reviews')['spec']['clusterIP']}/"


def _request(url: str) -> None:
    body = json.dumps({"inputs": SENTENCE})
    print(f"\n$ curl {url} --json '{body}'", flush=True)
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "20", url, "--json", body]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"the server did not answer: {done.stderr.strip()} {done.stdout.strip()}")
    print(done.stdout.strip())


def _print_places(job: dict[str, Any], url: str) -> None:
    artifact = job["status"]["artifact"]
    folder = CLAIM / artifact["uri"].removeprefix("pvc://demo/")
    print(f"\nartifact      {artifact['uri']}  {artifact['digest']}")
    print(f"              in this folder: {folder.relative_to(ROOT)}")
    print(f"server        {url} (/metrics: port 8081 of its pod; docs/install.md)")
    print(f"look further  {_environment()}")
    print(f"              kubectl config set-context --current --namespace {NAMESPACE}")
    print("              kubectl get ftj,mdep,pods; kubectl describe ftj reviews; kubectl logs deployment/tuneloop")
    print("end it        make cluster-down")


def _environment() -> str:
    return f"export KUBECONFIG={STATE / 'kubeconfig'} PATH=$(dev/cluster/cluster build):$PATH"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print(
            "\nstopped; the cluster runs on: `make demo-cluster` begins again on it, `make cluster-down` ends it",
            file=sys.stderr,
        )
        sys.exit(130)
