"""Finds the files of a data source from its URI."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from tuneloop_api.wire.uris import FILE_SCHEME, claim_path
from tuneloop_trainer.contained import lies_in, root_of
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.split_names import split_named, split_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tuneloop_api.contract.data_settings import SourceSettings

Item = TypeVar("Item")
Format: TypeAlias = Literal["csv", "tsv", "jsonl", "parquet", "arrow", "conll", "squad", "txt"]
FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".txt": "txt",
}
ALLOWED = (
    ".csv, .tsv, .jsonl, .ndjson, .json (one object a line, or a file of SQuAD), .parquet, .conll, .bio or .iob (a token and its tag a line), "
    ".txt (a text a line), or a folder written by datasets.save_to_disk"
)
_DESCRIPTIONS = frozenset({"dataset_infos.json", "dataset_info.json"})
"""What `datasets` writes about a data set, beside its rows."""
_SYSTEM_FOLDERS = tuple(map(Path, ("/proc", "/sys", "/dev", "/etc", "/run/secrets", "/var/run/secrets")))
"""A pod's token and settings lie there."""
LFS_HINT = "run in the clone: git lfs pull"
_DEFAULT_SPLIT = "train"
_LOOKED_AT = 65_536
_SQUAD = re.compile(rb'(\xef\xbb\xbf)?\s*\{.*"paragraphs"\s*:\s*\[', re.DOTALL)
"""How a file of SQuAD begins: an object whose first paragraphs stand near its beginning."""
_SEVERAL = 2
_NO_LINKS = "put the files themselves there, or give the path that they have"


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of a source."""

    path: Path
    format: Format
    name: str
    """Name of the file in messages: the URI of the source, and the path below it."""


def path_of_uri(uri: str, *, claims: Mapping[str, str], field: str) -> Path:
    """Return the path of `pvc://CLAIM/PATH` or `file:///PATH`.

    Raises ConfigError naming the field, also if a link leads to a file of the system. On a laptop a claim often holds links to large models.
    """
    if ".." in Path(uri.partition("://")[2]).parts:
        raise ConfigError(f"{field}: {uri} has '..' in its path; give the path itself")
    if uri.startswith(FILE_SCHEME):
        return Path(uri.removeprefix(FILE_SCHEME))
    place = claim_path(uri)
    if place is None:
        raise ConfigError(f"{field}: {uri} cannot be read here; allowed are pvc://CLAIM/PATH and file:///PATH")
    if place.claim not in claims:
        mounted = ", ".join(sorted(claims)) or "none"
        raise ConfigError(f"{field}: {uri}: the claim {place.claim!r} is not mounted; mounted: {mounted}")
    claim = Path(claims[place.claim])
    path = claim / place.path
    if not lies_in(path, claim) and any(lies_in(path, folder) for folder in _SYSTEM_FOLDERS):
        raise ConfigError(f"{field}: {uri} leads to {path.resolve()}, over a link; {_NO_LINKS}")
    return path


def files_of(source: SourceSettings, *, claims: Mapping[str, str], field: str) -> list[DataFile]:
    """Return the files of a source in reading order. Raises ConfigError as `path_of_uri`, DataError as `files_at`."""
    return files_at(path_of_uri(source.uri, claims=claims, field=f"{field}.uri"), source=source, field=field)


def files_at(path: Path, *, source: SourceSettings, field: str) -> list[DataFile]:
    """Return the files of a source in reading order. path: of its file or folder.

    Raises DataError if there is no file of a known format, or if a file lies outside the source or is not there itself (Git LFS).
    """
    files = _found(path, source=source, field=field)
    root = root_of(path) if path.is_dir() else path
    for file in files:
        if not lies_in(file.path, root):
            raise DataError(f"{field}.uri: {file.name} lies outside of {source.uri}", hint=_NO_LINKS)
        if file.path.is_file() and is_lfs_pointer(file.path):
            raise DataError(f"{field}.uri: {file.name} is a Git LFS pointer, not the rows", hint=LFS_HINT)
    return [replace(file, format="squad") if _is_squad(file) else file for file in files]


def _is_squad(file: DataFile) -> bool:
    if file.path.suffix.lower() != ".json" or not file.path.is_file():
        return False
    with file.path.open("rb") as opened:
        return _SQUAD.match(opened.read(_LOOKED_AT)) is not None


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what Git leaves in place of a large file, where Git LFS has not fetched it."""
    with path.open("rb") as file:
        return file.read(40).startswith(b"version https://git-lfs")


def _found(path: Path, *, source: SourceSettings, field: str) -> list[DataFile]:
    if not path.exists():
        raise DataError(f"{field}.uri: {source.uri} does not exist", hint=_neighbours(path))
    if path.is_dir() and _is_saved_data_set(path):
        return _saved_data_set(path, source=source, field=field)
    if path.is_dir():
        return _folder(path, source=source, field=field)
    if source.split != _DEFAULT_SPLIT:
        raise _without_splits(source, field=field)
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{field}.uri: {source.uri} has no known extension; allowed: {ALLOWED}")
    return [DataFile(path=path, format=FORMATS[path.suffix.lower()], name=source.uri)]


def _without_splits(source: SourceSettings, *, field: str) -> ConfigError:
    return ConfigError(
        f"{field}.split: {source.split!r} is for a folder with splits; {source.uri} has none",
        hint="leave split out, and give the file or folder of that split as the uri",
    )


def _folder(path: Path, *, source: SourceSettings, field: str) -> list[DataFile]:
    uri = source.uri
    found = sorted(
        file.relative_to(path) for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path))
    )
    known = [file for file in found if file.suffix.lower() in FORMATS and file.name not in _DESCRIPTIONS]
    files = without_read_mes(known, name=lambda file: file.name)
    if not files:
        there = ", ".join(file.as_posix() for file in found[:5]) or "nothing"
        raise DataError(f"{field}.uri: no file of {uri} can be read; allowed: {ALLOWED}; there is {there}")
    return [
        DataFile(path=path / file, format=FORMATS[file.suffix.lower()], name=f"{uri.rstrip('/')}/{file.as_posix()}")
        for file in _of_split(files, source=source, field=field)
    ]


def without_read_mes(files: list[Item], *, name: Callable[[Item], str]) -> list[Item]:
    """Return the files of a folder that hold rows: beside tables, a .txt file is a licence or a read-me."""
    tables = [file for file in files if not name(file).lower().endswith(".txt")]
    return tables or files


def _of_split(files: list[Path], *, source: SourceSettings, field: str) -> list[Path]:
    """Return the files of the split: all of them, unless their names speak of several splits, or the spec names one."""
    splits = {file: split_of(file) for file in files}
    names = sorted({name for name in splits.values() if name is not None})
    if len(names) < _SEVERAL and source.split == _DEFAULT_SPLIT:
        return files
    if not names:
        raise _without_splits(source, field=field)
    wanted = split_named(source.split)
    if wanted not in names:
        raise ConfigError(f"{field}.split: {source.uri} has no split {source.split!r}; it has {', '.join(names)}")
    nameless = next((file for file in files if splits[file] is None), None)
    if nameless is not None:
        raise DataError(
            f"{field}.uri: {source.uri} has files of the splits {', '.join(names)}, and {nameless.as_posix()}, whose name says no split",
            hint=f"move it away, or give the files that are meant as sources, such as uri: {source.uri.rstrip('/')}/{nameless.as_posix()}",
        )
    return [file for file in files if splits[file] == wanted]


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _is_saved_data_set(path: Path) -> bool:
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def _saved_data_set(path: Path, *, source: SourceSettings, field: str) -> list[DataFile]:
    """Return the `.arrow` files of a folder that `datasets.save_to_disk` wrote; `state.json` lists their names."""
    name = source.uri.rstrip("/")
    if (path / "dataset_dict.json").is_file():
        splits = [str(split) for split in _json(path / "dataset_dict.json").get("splits", [])]
        if source.split not in splits:
            raise DataError(f"{field}.split: {source.uri} has no split {source.split!r}; it has {', '.join(splits)}")
        path, name = path / source.split, f"{name}/{source.split}"
    elif source.split != _DEFAULT_SPLIT:
        raise DataError(f"{field}.split: {source.uri} holds one data set without splits; leave split out")
    files = [str(file["filename"]) for file in _json(path / "state.json").get("_data_files", [])]
    if not files:
        raise DataError(f"{field}.uri: {name}/state.json names no data file")
    return [DataFile(path=path / file, format="arrow", name=f"{name}/{file}") for file in files]


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _neighbours(path: Path) -> str:
    """Return a sentence about the nearest existing folder above a missing path, and its content."""
    folder = path.parent
    while not folder.is_dir():
        path, folder = folder, folder.parent
    names = sorted(entry.name for entry in folder.iterdir())[:10]
    return f"{folder} holds {', '.join(names) or 'nothing'}"
