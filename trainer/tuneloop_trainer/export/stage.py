"""The export stage: measures, builds the model's files, proves that they are what was trained, and publishes them with one digest.

The same inputs give the same digest: nothing that is written tells the time, the place or the attempt.
"""

from __future__ import annotations

import json
import logging
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.artifact import MANIFEST, Manifest
from tuneloop_api.contract.results import ExportResult, PrepareResult, TrainResult
from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.measure import measure
from tuneloop_trainer.export.baseline_comparison import Ladder, build_ladder
from tuneloop_trainer.export.build import load_written, write_model
from tuneloop_trainer.export.cleanup import clean_checkpoints
from tuneloop_trainer.export.inputs import read_split
from tuneloop_trainer.export.model_card import Facts, license_of, model_card
from tuneloop_trainer.export.parity import check_agreement, sample
from tuneloop_trainer.export.publish import ARTIFACT, draft, list_files, publish
from tuneloop_trainer.methods import DESCRIPTION, TrainedMethod
from tuneloop_trainer.stage_result import read_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.artifact import ArtifactFile
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_trainer.evaluation.measure import Evaluation
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.report import Reporter

LOG = logging.getLogger(__name__)
SEED = 42
"""Of the resamples and the TF-IDF model; not the training seed, so that runs with different ones are measured alike."""
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "numpy", "scikit-learn")
"""Those whose versions the artifact's bytes and numbers depend on."""
CARD = "README.md"


def export(config: RunConfig, reporter: Reporter) -> ExportResult:
    """Publish the trained model as `<paths.job_dir>/artifact`; on any error the folder is what it was before.

    Raises ConfigError or StorageError if an input is missing or changed, NonFiniteLossError if the model's logits are not finite,
    StageError if the built files do not give the logits that training measured, StorageError if the volume is full.
    """
    prepared = read_result(config.prepare_result, PrepareResult, field="prepareResult")
    trained = read_result(config.train_result, TrainResult, field="trainResult")
    bootstrap = Bootstrap(resamples=config.settings.evaluation.bootstrap_samples, seed=SEED)
    test = read_split(trained.predictions, "test")
    reporter.post(detail="measuring the test split", fraction=0.0)
    validation = read_split(trained.predictions, "validation")
    evaluation = measure(validation=validation, test=test, bootstrap=bootstrap)
    ladder = _ladder(config, prepared, trained, test=test, bootstrap=bootstrap, reporter=reporter)
    with draft(Path(config.paths.job_dir)) as folder:
        reporter.post(detail="building the model's files", fraction=0.5)
        parts = write_model(folder, settings=config.settings, prepared=prepared, trained=trained)
        reporter.post(detail="comparing the files with training", fraction=0.7)
        _check_all(folder, parts, prepared=prepared, trained=trained, test=test)
        facts = _facts(config, prepared, trained, evaluation=evaluation, ladder=ladder, parts=parts)
        (folder / CARD).write_text(model_card(facts), encoding="utf-8")
        reporter.post(detail="publishing", fraction=0.9)
        manifest = _manifest(config, prepared, evaluation=evaluation, files=list_files(folder))
        artifact = publish(folder, manifest)
    LOG.info("published %s %s", artifact, manifest.digest())
    clean_checkpoints(config, attempt=trained.attempt, published_step=facts.published_step)
    reporter.post(detail="published", fraction=1.0)
    return _result(config, artifact, manifest=manifest, ladder=ladder)


def _ladder(
    config: RunConfig,
    prepared: PrepareResult,
    trained: TrainResult,
    *,
    test: Predictions,
    bootstrap: Bootstrap,
    reporter: Reporter,
) -> Ladder:
    if not config.settings.evaluation.baselines:
        return Ladder(baselines=[])
    detail = "fitting the TF-IDF baseline"
    reporter.post(detail=detail, fraction=0.1)
    beat: Callable[[float], None] = lambda done: reporter.post(detail=detail, fraction=0.1 + 0.4 * done)  # noqa: E731
    before = read_split(trained.predictions, "before-test")
    return build_ladder(
        Path(prepared.dataset_path), test=test, before=before, bootstrap=bootstrap, seed=SEED, beat=beat
    )


def _check_all(
    folder: Path, parts: list[str], *, prepared: PrepareResult, trained: TrainResult, test: Predictions
) -> None:
    """Load every part from its files and compare it with what training measured."""
    expected = sample(test, dataset=Path(prepared.dataset_path))
    for part in parts:
        model = load_written(folder / part, prepared=prepared)
        difference = check_agreement(model, folder / part, expected, precision=trained.precision)
        LOG.info("%s gives the logits of training on %d test rows within %.2g", part, len(expected.rows), difference)


def _facts(
    config: RunConfig,
    prepared: PrepareResult,
    trained: TrainResult,
    *,
    evaluation: Evaluation,
    ladder: Ladder,
    parts: list[str],
) -> Facts:
    method = TrainedMethod.from_wire(json.loads((Path(trained.weights_path) / DESCRIPTION).read_text(encoding="utf-8")))
    base_card = Path(prepared.model_path) / CARD
    return Facts(
        name=config.job.name,
        settings=config.settings,
        prepared=prepared,
        trained=trained,
        evaluation=evaluation,
        baselines=ladder.baselines,
        paired=ladder.paired,
        baseline_model=ladder.baseline_model,
        published_step=method.step,
        license=license_of(base_card.read_text(encoding="utf-8")) if base_card.exists() else None,
        parts=parts,
    )


def _manifest(
    config: RunConfig, prepared: PrepareResult, *, evaluation: Evaluation, files: list[ArtifactFile]
) -> Manifest:
    return Manifest(
        name=config.job.name,
        task=config.settings.task,
        base_model=config.settings.model.uri,
        labels=prepared.resolved.labels,
        max_tokens=prepared.resolved.max_tokens,
        temperature=evaluation.temperature,
        metrics=evaluation.metrics,
        lineage=_lineage(config, prepared),
        files=files,
    )


def _lineage(config: RunConfig, prepared: PrepareResult) -> dict[str, Any]:
    return {
        "modelRevision": prepared.model_revision,
        "dataDigest": prepared.dataset_digest,
        "configHash": config.config_hash,
        "tuneloopVersion": _version("tuneloop"),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


def _result(config: RunConfig, artifact: Path, *, manifest: Manifest, ladder: Ladder) -> ExportResult:
    return ExportResult(
        artifact_path=str(artifact),
        artifact_uri=f"{config.paths.job_uri}/{ARTIFACT}",
        digest=manifest.digest(),
        size_bytes=sum(file.size for file in manifest.files) + (artifact / MANIFEST).stat().st_size,
        formats=["safetensors"],
        metrics=manifest.metrics,
        baselines=ladder.baselines,
        paired=ladder.paired,
    )
