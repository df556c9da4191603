"""The packages that are changed, and the tests that belong to each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OPERATOR = "operator/tuneloop_operator"
_TRAINER = "trainer/tuneloop_trainer"
_SERVER = "server/tuneloop_server"
_OPERATOR_LIBRARIES = ("pytest", "hypothesis", "yaml", "aiohttp", "pydantic", "prometheus_client", "kubernetes", "kopf")
_TRAINER_LIBRARIES = (
    "pytest", "hypothesis", "yaml", "aiohttp", "pydantic", "numpy", "pyarrow.parquet", "safetensors.numpy", "torch",
    "sklearn.linear_model", "sklearn.feature_extraction.text", "transformers", "peft", "deepspeed",
)  # fmt: skip
_SERVER_LIBRARIES = ("pytest", "yaml", "aiohttp", "pydantic", "starlette.testclient", "torch", "transformers")


@dataclass(frozen=True)
class Package:
    """Files whose changes the tests should notice."""

    sources: tuple[str, ...]
    """Folders and files."""
    tests: tuple[str, ...]
    """Folders and files, the quickest first: the run ends with the first failure."""
    libraries: tuple[str, ...]
    """Imported once, before the first change: they cost more time than most tests."""

    def files(self) -> list[Path]:
        """Return the source files, sorted, relative to the root."""
        found = [path for source in self.sources for path in _python_files(ROOT / source)]
        return sorted(path.relative_to(ROOT) for path in found)


def _python_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("*.py"))


def _operator(folders: str, *tests: str) -> Package:
    sources = tuple(f"{_OPERATOR}/{folder}" for folder in folders.split())
    return Package(sources, (*tests, "tests/unit/operator"), _OPERATOR_LIBRARIES)


def _trainer(sources: str, *tests: str) -> Package:
    return Package(tuple(f"{_TRAINER}/{source}" for source in sources.split()), tests, _TRAINER_LIBRARIES)


PACKAGES = {
    "decide": _operator("decide", "tests/unit/operator/decide"),
    "status": _operator("status", "tests/unit/operator/status", "tests/unit/operator/decide"),
    "state": _operator("state", "tests/unit/operator/decide"),
    "controller": _operator("controller", "tests/unit/operator/controller", "tests/component/operator"),
    "leader": _operator("leader", "tests/unit/operator/leader"),
    "progress": _operator("progress", "tests/unit/operator", "tests/component/operator"),
    "checkpoint": _trainer(
        "checkpoint durable.py", "tests/unit/trainer/checkpoint", "tests/unit/trainer/test_durable.py", "tests/component/trainer/checkpoint",
        "tests/component/trainer/train", "tests/stories/local/gangs/test_saving.py",
        "tests/stories/local/gangs/test_resume.py", "tests/stories/local/gangs/test_damage.py",
    ),
    "training": _trainer(
        "training engine", "tests/unit/trainer/train", "tests/component/trainer/train",
        "tests/stories/local/gangs/test_training_saves.py", "tests/stories/local/gangs/test_resume.py",
    ),
    "batch_schedule": _trainer("training/batch_schedule.py", "tests/unit/trainer/batches"),
    "evaluation": _trainer("evaluation", "tests/unit/trainer/evaluation", "tests/unit/trainer/tasks", "tests/component/trainer/train"),
    "data": _trainer(
        "data dataset models", "tests/unit/trainer/data", "tests/unit/trainer/models", "tests/unit/trainer/batches", "tests/component/trainer/preflight",
        *(f"tests/component/trainer/test_prepare{part}.py" for part in ("", "_hub", "_model", "_report", "_tags")), "tests/component/trainer/models",
        "tests/component/trainer/test_data_bombs.py", "tests/component/trainer/train",
    ),
    "export": _trainer(
        "export", "tests/unit/trainer/export", "tests/unit/trainer/test_rounding.py", "tests/component/trainer/export",
    ),
    "router": Package(
        ("server/tuneloop_router",), ("tests/unit/router", "tests/component/router"), ("pytest", "hypothesis", "aiohttp"),
    ),
    "rules": Package(
        ("api/tuneloop_api/wire/rules.py", "api/tuneloop_api/v1alpha1"),
        ("tests/unit/api", "tests/component/api/test_crd.py", "tests/unit/cli/manifests"),
        _OPERATOR_LIBRARIES,
    ),
    "server": Package((_SERVER,), ("tests/unit/server", "tests/component/server", "tests/component/trainer/models/test_special_tokens.py"), _SERVER_LIBRARIES),
}  # fmt: skip
