"""In a company's network the hub is reached through a proxy, with a certificate of the company's own authority: the client and the
environment are those of the pod of prepare, the hub and the proxy are on loopback."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from connect_proxy import ConnectProxy, running_proxy
from desired_pods import container_of, job_pods
from hub_server import COMMIT, running_hub
from self_signed import write_certificate

from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.pod_defaults import PodDefaults
from tuneloop_operator.settings.trusted_ca import TrustedCa

PROGRAM = """
import sys
from pathlib import Path
from tuneloop_trainer.errors import ModelAccessError
from tuneloop_trainer.models import hub
hub.WAITS_SECONDS = (0.01,) * len(hub.WAITS_SECONDS)
try:
    print(hub.fetch_model("hf://org/name", revision="main", cache=Path(sys.argv[1]))[1])
except ModelAccessError as error:
    print(error.message, error.hint, sep="\\n")
"""
BUNDLE = "/etc/tuneloop-ca/ca.crt"


@contextmanager
def hub_behind_proxy(folder: Path) -> Iterator[ConnectProxy]:
    """Run a hub with the certificate `folder/ca.crt`, and the proxy that leads to it."""
    (folder / "served").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / "served" / name).write_text(f'{{"is": "{name}"}}')
    write_certificate(
        folder / "ca.crt", folder / "key", common_name="huggingface.co", alternative_names="DNS:huggingface.co"
    )
    with running_hub() as hub:
        hub.begin(folder / "served")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "ca.crt", folder / "key")
        hub.socket = context.wrap_socket(hub.socket, server_side=True, do_handshake_on_connect=False)
        with running_proxy(hub.server_port) as proxy:
            yield proxy


def environment_of_prepare(folder: Path, *, proxy: str, trusts: bool) -> dict[str, str]:
    """Return the environment of the pod of prepare, with the bundle in `folder` in place of that of the pod."""
    env = [
        {"name": "HTTPS_PROXY", "value": proxy},
        {"name": "NO_PROXY", "value": "localhost,127.0.0.1,.svc,.cluster.local"},
    ]
    settings = OperatorSettings(
        default_claim="models",
        pod_defaults=PodDefaults.from_wire({"env": env}),
        trusted_ca=TrustedCa(config_map="company-ca") if trusts else None,
    )
    variables = container_of(job_pods(settings)["prepare"])["env"]
    own = {found["name"]: found["value"].replace(BUNDLE, f"{folder}/ca.crt") for found in variables if "value" in found}
    return own | {"HOME": str(folder), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("trusts", [True, False], ids=["the authority is trusted", "the authority is not trusted"])
def test_a_model_comes_through_the_proxy_if_the_authority_is_trusted(tmp_path: Path, trusts: bool) -> None:
    with hub_behind_proxy(tmp_path) as proxy:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "models")]
        environment = environment_of_prepare(tmp_path, proxy=proxy.url, trusts=trusts)
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == 0, ended.stderr
        assert set(proxy.asked) == {"huggingface.co:443"}
    if trusts:
        assert ended.stdout.strip() == COMMIT
        return
    message, hint = ended.stdout.strip().splitlines()
    assert "CERTIFICATE_VERIFY_FAILED" in message
    assert "is of an authority that is not trusted (those of this machine, for SSL_CERT_FILE is not set)" in hint
