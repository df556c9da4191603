"""The export stage: measures, builds the model's files, proves that they are what was trained, and publishes them with one digest.

The same inputs give the same digest: nothing that is written tells the time, the place or the attempt.
"""

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.artifact import ADAPTER_FOLDER, MANIFEST, AdapterBase, Manifest, TargetScale
from tuneloop_api.contract.results import ExportResult, PrepareResult, TrainResult
from tuneloop_api.wire.model import changed
from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.predictions import BEFORE_TEST
from tuneloop_trainer.export.baseline_comparison import BaselineComparison, compare_with_baselines
from tuneloop_trainer.export.best_trial import in_trial_folder, of_best_trial, write_record
from tuneloop_trainer.export.card_facts import Facts
from tuneloop_trainer.export.champion.comparison import compare_with_champion
from tuneloop_trainer.export.checked_files import check_files, write_files
from tuneloop_trainer.export.cleanup import clean_checkpoints
from tuneloop_trainer.export.exporters.exporter import Exporter, ExportInputs
from tuneloop_trainer.export.inputs import read_split
from tuneloop_trainer.export.model_card import license_of, model_card
from tuneloop_trainer.export.monitoring import write_monitoring
from tuneloop_trainer.export.onnx_files import onnx_files, onnx_formats
from tuneloop_trainer.export.parity import sample
from tuneloop_trainer.export.publish import ARTIFACT, draft, list_files, publish
from tuneloop_trainer.export.verify import describe
from tuneloop_trainer.models.files import WEIGHTS, WEIGHTS_INDEX, indexed_weights
from tuneloop_trainer.models.trained import read_description
from tuneloop_trainer.stage_result import read_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.artifact import ArtifactFile, OnnxFiles
    from tuneloop_api.contract.champion import ComparisonSummary
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_trainer.evaluation.measure import Evaluation
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.report import Reporter

LOG = logging.getLogger(__name__)
SEED = 42
"""Of the resamples and the TF-IDF model; not the training seed, so that runs with different training seeds are measured alike."""
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "numpy", "scikit-learn")
"""Those whose versions the artifact's bytes and numbers depend on."""
ONNX_LIBRARIES = ("onnx", "onnxruntime")
"""The same, where the job asks for ONNX."""
CARD = "README.md"


def export(config: RunConfig, reporter: Reporter) -> ExportResult:
    """Publish the trained model as `<paths.jobDir>/artifact`; on any error the folder is what it was before.

    Raises ConfigError or StorageError if an input is missing or changed, NonFiniteLossError if the model's logits are not finite,
    StageError if the built files do not give the logits that training measured, StorageError if the volume is full.
    """
    prepared = read_result(config.prepare_result, PrepareResult, field="prepareResult")
    trained = read_result(config.train_result, TrainResult, field="trainResult")
    record = trained.search
    if record is not None:
        config, prepared, trained = of_best_trial(config, prepared, trained, record)
    inputs = ExportInputs(settings=config.settings, prepared=prepared, trained=trained)
    bootstrap = Bootstrap(resamples=config.settings.evaluation.bootstrap_samples, seed=SEED)
    test = read_split(trained.predictions, "test")
    reporter.post(detail="measuring the test split", fraction=0.0)
    validation = read_split(trained.predictions, "validation")
    evaluation = inputs.task.evaluate(
        validation=validation, test=test, labels=prepared.resolved.labels, bootstrap=bootstrap
    )
    LOG.info("calibration: %s", evaluation.calibration)
    as_trained, decide = test, inputs.task.decide
    test = as_trained if decide is None else decide(as_trained, evaluation)
    comparison = _compare(inputs, test=test, bootstrap=bootstrap, reporter=reporter)
    with draft(Path(config.paths.job_dir)) as folder:
        reporter.post(detail="building the model's files", fraction=0.5)
        expected = sample(as_trained, task=inputs.task, dataset=Path(inputs.prepared.dataset_path))
        exporters, logits = write_files(folder, inputs, expected)
        reporter.post(detail="comparing the files with training", fraction=0.7)
        check_files(folder, exporters, inputs, expected=expected, trained=logits)
        if inputs.settings.output.asks_for_onnx:
            reporter.post(detail="writing and comparing the ONNX files", fraction=0.8)
        onnx = onnx_files(folder, inputs, expected=expected, trained=logits)
        beside = _beside_champion(folder, config, inputs, evaluation=evaluation, bootstrap=bootstrap, reporter=reporter)
        facts = _facts(
            config.job.name, inputs, evaluation=evaluation, comparison=comparison, exporters=exporters, onnx=onnx
        )
        _describe(folder, facts, test)
        if record is not None:
            write_record(folder, record)
        reporter.post(detail="publishing", fraction=0.9)
        base = _adapter_base(prepared) if ADAPTER_FOLDER in facts.parts else None
        files, scale = list_files(folder), expected.fitted.target_scale
        manifest = _manifest(config, prepared, evaluation=evaluation, onnx=onnx, files=files, base=base, scale=scale)
        artifact = publish(folder, manifest)
    LOG.info("published %s %s", artifact, manifest.digest())
    clean_checkpoints(in_trial_folder(config, record), attempt=trained.attempt, published_step=facts.published_step)
    reporter.post(detail="published", fraction=1.0)
    formats = sorted({*(exporter.format for exporter in exporters), *onnx_formats(onnx)})
    result = _result(config, artifact, manifest=manifest, comparison=comparison, formats=formats)
    return changed(result, comparison=beside)


def _compare(
    inputs: ExportInputs, *, test: Predictions, bootstrap: Bootstrap, reporter: Reporter
) -> BaselineComparison:
    if not inputs.settings.evaluation.baselines:
        return BaselineComparison(baselines=[])
    detail = "fitting the baselines"
    reporter.post(detail=detail, fraction=0.1)
    beat: Callable[[float], None] = lambda done: reporter.post(detail=detail, fraction=0.1 + 0.4 * done)  # noqa: E731
    return compare_with_baselines(
        Path(inputs.prepared.dataset_path),
        task=inputs.task,
        labels=inputs.prepared.resolved.labels,
        test=test,
        before=read_split(inputs.trained.predictions, BEFORE_TEST),
        bootstrap=bootstrap,
        seed=SEED,
        beat=beat,
    )


def _beside_champion(
    folder: Path,
    config: RunConfig,
    inputs: ExportInputs,
    *,
    evaluation: Evaluation,
    bootstrap: Bootstrap,
    reporter: Reporter,
) -> ComparisonSummary | None:
    if inputs.settings.evaluation.compare_with is None:
        return None
    detail = "running this model and the champion on the same rows"
    reporter.post(detail=detail, fraction=0.85)
    beat: Callable[[float], None] = lambda done: reporter.post(detail=detail, fraction=0.85 + 0.05 * done)  # noqa: E731
    return compare_with_champion(
        folder, config, inputs, temperature=evaluation.temperature, bootstrap=bootstrap, beat=beat
    )


def _facts(
    name: str,
    inputs: ExportInputs,
    *,
    evaluation: Evaluation,
    comparison: BaselineComparison,
    exporters: list[Exporter],
    onnx: OnnxFiles | None,
) -> Facts:
    base_card = Path(inputs.prepared.model_path) / CARD
    return Facts(
        name=name,
        inputs=inputs,
        evaluation=evaluation,
        comparison=comparison,
        published_step=read_description(Path(inputs.trained.weights_path)).step,
        license=license_of(base_card.read_text(encoding="utf-8")) if base_card.exists() else None,
        parts=[exporter.folder for exporter in exporters],
        library=exporters[-1].library,
        onnx=onnx,
    )


def _describe(folder: Path, facts: Facts, test: Predictions) -> None:
    """Write what lies beside the formats: the model card, and the bins of features."""
    (folder / CARD).write_text(model_card(facts), encoding="utf-8")
    write_monitoring(folder, facts.inputs, test, temperature=facts.evaluation.temperature)


def _manifest(
    config: RunConfig,
    prepared: PrepareResult,
    *,
    evaluation: Evaluation,
    onnx: OnnxFiles | None,
    files: list[ArtifactFile],
    base: AdapterBase | None,
    scale: TargetScale | None,
) -> Manifest:
    return Manifest(
        name=config.job.name,
        task=config.settings.task_id,
        base_model=config.settings.model.uri,
        labels=prepared.resolved.labels,
        max_tokens=prepared.resolved.max_tokens,
        temperature=evaluation.temperature,
        metrics=evaluation.metrics,
        lineage=_lineage(config, prepared, onnx=onnx),
        files=files,
        onnx=onnx,
        adapter_base=base,
        target_scale=scale,
        answer_spans=evaluation.answer_spans,
        source_prefix=config.settings.task_options.source_prefix or None,
    )


def _adapter_base(prepared: PrepareResult) -> AdapterBase:
    """Return the weights of the pre-trained model, so that a server can tell whether a model is the one that the adapter belongs to."""
    folder = Path(prepared.model_path)
    names = [WEIGHTS]
    if not (folder / WEIGHTS).is_file():
        names = [WEIGHTS_INDEX, *indexed_weights(folder / WEIGHTS_INDEX, uri=str(folder))]
    return AdapterBase(files=[describe(folder / name, folder=folder) for name in names])


def _lineage(config: RunConfig, prepared: PrepareResult, *, onnx: OnnxFiles | None) -> dict[str, Any]:
    return {
        "modelRevision": prepared.model_revision,
        "dataDigest": prepared.dataset_digest,
        "configHash": config.config_hash,
        "tuneloopVersion": _version("tuneloop"),
        "libraries": {name: _version(name) for name in (*LIBRARIES, *(ONNX_LIBRARIES if onnx else ()))},
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


def _result(
    config: RunConfig,
    artifact: Path,
    *,
    manifest: Manifest,
    comparison: BaselineComparison,
    formats: list[str],
) -> ExportResult:
    return ExportResult(
        artifact_path=str(artifact),
        artifact_uri=f"{config.paths.job_uri}/{ARTIFACT}",
        digest=manifest.digest(),
        size_bytes=sum(file.size for file in manifest.files) + (artifact / MANIFEST).stat().st_size,
        formats=formats,
        metrics=manifest.metrics,
        baselines=comparison.baselines,
        paired=comparison.paired,
    )
