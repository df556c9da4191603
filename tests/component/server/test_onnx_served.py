"""`runtime.engine: onnx`: the same answers as torch over HTTP, the same limits, and refusals that say what to do."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest
from app_clients import app_client, wait_until
from artifact import write_manifest
from onnx_artifacts import with_onnx
from server_process import DEADLINE, Artifact, configuration, running, word_salads

from tuneloop_api.contract.artifact import Int8File, OnnxFiles
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.server_config import MOST_BODY_BYTES
from tuneloop_api.wire.model import changed
from tuneloop_server.errors import CannotServe
from tuneloop_server.runtimes import RUNTIMES, runtime_of
from tuneloop_server.runtimes.onnx_model import load
from tuneloop_server.runtimes.runtime import Runtime
from tuneloop_server.tasks import TASKS
from tuneloop_server.tasks.text_classification import TEXT_CLASSIFICATION

TEXTS = [*word_salads(30), "", "¿Qué tal? 😀", "word " * 2000]
CLOSE = 1e-5


@pytest.fixture(scope="module")
def onnx_artifact(artifact, tmp_path_factory) -> Artifact:
    folder = tmp_path_factory.mktemp("onnx")
    return Artifact(folder, with_onnx(artifact, folder))


@pytest.fixture(scope="module")
def served(onnx_artifact, tmp_path_factory):
    """A server process, started as in a pod."""
    config = configuration(onnx_artifact.folder, engine="onnx")
    with running(config, tmp_path_factory.mktemp("running")) as server:
        yield server


def scores(answers: list) -> list[dict[str, float]]:
    return [{entry["label"]: entry["score"] for entry in answer} for answer in answers]


def test_texts_get_the_scores_of_torch(served, server):
    found, expected = (scores(at.ask({"inputs": TEXTS}).json()) for at in (served, server))
    for text, one, other in zip(TEXTS, found, expected, strict=True):
        assert one == pytest.approx(other, abs=CLOSE), text


def test_tags_are_those_of_torch(tagger, tagger_artifact, tmp_path):
    manifest = with_onnx(tagger_artifact, tmp_path)
    task = TASKS["token-classification"]
    documents = [
        {"inputs": ["Ada met Charles in London.", "東京 a", "x " * 100]},
        {"inputs": "Zoë et François vont. " * 9, "parameters": {"aggregation_strategy": "first", "stride": 4}},
        {"inputs": "Ada", "parameters": {"aggregation_strategy": "none", "ignore_labels": []}},
    ]
    config = configuration(tmp_path, engine="onnx")
    with app_client(config, manifest, task=task, runtime=RUNTIMES["onnx"]) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        for document in documents:
            found, expected = client.post("/predict", json=document).json(), tagger.ask(document).json()
            assert without_scores(found) == without_scores(expected)
            assert scores_within(found) == pytest.approx(scores_within(expected), abs=CLOSE)


def flat(answer: list) -> list[dict]:
    return [entry for part in answer for entry in (part if isinstance(part, list) else [part])]


def without_scores(answer: list) -> list[dict]:
    return [{name: value for name, value in entry.items() if name != "score"} for entry in flat(answer)]


def scores_within(answer: list) -> list[float]:
    return [entry["score"] for entry in flat(answer)]


def test_a_body_that_is_too_large_is_refused(served):
    assert served.client.post("/predict", content=b" " * (MOST_BODY_BYTES + 1)).status_code == 413


def test_a_full_queue_answers_429_with_retry_after(onnx_artifact):
    """The pass that fills the queue waits until the next request was answered."""
    may_run = threading.Event()

    def held(*given):
        model = RUNTIMES["onnx"].load(*given)
        predict = model.predict

        def wait(batch):
            assert may_run.wait(DEADLINE)
            return predict(batch)

        model.predict = wait
        return model

    config = configuration(onnx_artifact.folder, engine="onnx", batching={"max_batch_size": 1, "max_queue": 2})
    runtime = Runtime(name="held", load=held)
    with (
        app_client(config, onnx_artifact.manifest, task=TEXT_CLASSIFICATION, runtime=runtime) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        wait_until(lambda: client.get("/readyz").status_code == 200)
        waiting = [pool.submit(client.post, "/predict", json={"inputs": ["a", "a"]})]
        wait_until(lambda: client.service._answerers[None]._batcher.waiting == 1)
        waiting.append(pool.submit(client.post, "/predict", json={"inputs": "a"}))
        wait_until(lambda: client.service._answerers[None]._batcher.waiting == 2)
        full = client.post("/predict", json={"inputs": "a"})
        may_run.set()
        assert (full.status_code, full.headers["retry-after"]) == (429, "1")
        assert [request.result().status_code for request in waiting] == [200, 200]


def test_embeddings_are_refused_by_name(served):
    found = httpx.post(f"{served.url}/v1/embeddings", json={"model": "reviews", "input": "a"}, timeout=DEADLINE)
    assert found.status_code == 400
    assert "the ONNX file gives logits alone; runtime.engine: torch makes them" in found.text


def loaded(folder, manifest, **config):
    return load(configuration(folder, engine="onnx", **config), manifest, TEXT_CLASSIFICATION)


def test_int8_answers_from_its_own_file(onnx_artifact):
    models = [loaded(onnx_artifact.folder, onnx_artifact.manifest, dtype=dtype) for dtype in ("fp32", "int8")]
    windows = [window for (window,) in models[0].encode(TEXTS)]
    fp32, int8 = (model.predict(windows) for model in models)
    differences = [abs(one - other).max() for one, other in zip(fp32, int8, strict=True)]
    assert 1e-4 < max(differences) < 0.5


@pytest.mark.parametrize(
    ("dtype", "facts", "message"),
    [
        pytest.param(
            None,
            None,
            "has no onnx/model.onnx, which runtime.engine: onnx needs; run the FineTuneJob under another name with "
            "output.formats: [safetensors, onnx], or serve with runtime.engine: torch",
            id="not asked for",
        ),
        pytest.param(
            None,
            OnnxFiles(rows=1, tolerance=0.1, refusal="it cannot be traced"),
            "has no onnx/model.onnx (the job did not publish it: it cannot be traced), which",
            id="not possible",
        ),
        pytest.param(
            "int8",
            OnnxFiles(rows=1, tolerance=0.1, int8=Int8File(rows=0, least_agreement=0.98, refusal="7 rows are too few")),
            "has no onnx/model_int8.onnx (the job did not publish it: 7 rows are too few), which",
            id="int8 was refused",
        ),
    ],
)
def test_an_artifact_without_the_file_is_refused_with_what_to_do(artifact, dtype, facts, message):
    with pytest.raises(CannotServe) as raised:
        loaded(artifact.folder, changed(artifact.manifest, onnx=facts), dtype=dtype)
    assert message in str(raised.value)
    assert raised.value.exit_code == ExitCode.MODEL_ACCESS


def test_a_word_of_a_later_release_is_refused(artifact):
    with pytest.raises(CannotServe, match=r"runtime\.engine: tpu is not known to this server, it knows torch, onnx"):
        runtime_of(configuration(artifact.folder, engine="tpu"))
    with pytest.raises(CannotServe, match=r"runtime\.dtype: fp4 is not known to this server, it knows fp32, int8"):
        loaded(artifact.folder, artifact.manifest, dtype="fp4")


@pytest.fixture
def copy(onnx_artifact, tmp_path) -> SimpleNamespace:
    """A copy of the artifact; `load` signs what was changed in it, and loads."""
    shutil.copytree(onnx_artifact.folder, tmp_path / "copy")

    def load_changed():
        manifest = onnx_artifact.manifest
        signed = write_manifest(
            tmp_path / "copy", manifest.labels, name="reviews", max_tokens=16, temperature=1.0, task=manifest.task
        )
        return loaded(tmp_path / "copy", signed)

    return SimpleNamespace(onnx=tmp_path / "copy" / "onnx", load=load_changed)


def test_a_damaged_file_is_refused(copy):
    content = (copy.onnx / "model.onnx").read_bytes()
    (copy.onnx / "model.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(CannotServe, match=r"onnx/model\.onnx cannot be loaded: "):
        copy.load()


def test_labels_of_another_model_are_refused(copy):
    config = json.loads((copy.onnx / "config.json").read_text())
    (copy.onnx / "config.json").write_text(json.dumps(config | {"id2label": {"0": "yes", "1": "no", "2": "maybe"}}))
    with pytest.raises(CannotServe, match=r"config\.json has the labels \['yes', 'no', 'maybe'\], the manifest"):
        copy.load()


@pytest.mark.parametrize("location", ["../model/config.json", "/etc/hostname"])
def test_a_file_that_takes_its_numbers_from_another_file_is_refused(copy, location):
    import onnx

    graph = onnx.load(copy.onnx / "model.onnx")
    tensor = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (copy.onnx / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(CannotServe, match=r"onnx/model\.onnx cannot be loaded: .*[Ee]xternal data path"):
        copy.load()


def test_a_file_of_an_earlier_release_makes_no_projections_and_answers_as_before(copy):
    import onnx

    model = copy.load()
    batch = [window for (window,) in model.encode(TEXTS[:3])]
    assert model.project([[1.0] * 16]) == ""
    expected = [found.logits.tolist() for found in model.predict(batch)]
    graph = onnx.load(copy.onnx / "model.onnx")
    assert graph.graph.output.pop().name == "text_vector"
    (copy.onnx / "model.onnx").write_bytes(graph.SerializeToString())
    earlier = copy.load()
    reason = "projections are not counted: the ONNX file has no output text_vector"
    assert earlier.project([[1.0] * 16]) == reason
    assert [found.tolist() for found in earlier.predict(batch)] == [pytest.approx(logits) for logits in expected]


def test_an_operator_that_is_not_onnx_s_own_is_refused(copy):
    import onnx

    graph = onnx.load(copy.onnx / "model.onnx")
    graph.graph.node[0].domain = "evil.example.com"
    graph.opset_import.add(domain="evil.example.com", version=1)
    (copy.onnx / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(CannotServe, match=r"onnx/model\.onnx cannot be loaded: .*evil\.example\.com"):
        copy.load()
