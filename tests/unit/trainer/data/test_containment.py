"""A source's files lie in the source: no link, and no name in a list of files, leads anywhere else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tuneloop_api.contract.data_settings import SourceSettings
from tuneloop_trainer import locate
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.locate import files_of, path_of_uri


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    """A claim with a source and somebody else's folder; outside the claim lies a token."""
    (tmp_path / "token.csv").write_text("text,label\n")
    for folder in ("work/source/sub", "work/other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "work/other/theirs.csv").write_text("text,label\n")
    (tmp_path / "work/source/own.csv").write_text("text,label\n")
    return tmp_path / "work"


def found(claim: Path, path: str = "source", **settings) -> list[str]:
    source = SourceSettings(uri=f"pvc://work/{path}", **settings)
    return [file.name for file in files_of(source, claims={"work": str(claim)}, field="data.train[0]")]


OUTWARD_LINKS = {
    "to a file beside": "../other/theirs.csv",
    "to a file out of the claim": "../../token.csv",
    "to the process's own files": "/proc/self/environ",
    "to nothing": "../nowhere.csv",
    "over the source and back out": "../source/../other/theirs.csv",
    "over a folder that is not there": "sub/none/../../../other/theirs.csv",
}


@pytest.mark.parametrize("place", ["x.csv", "sub/x.csv"])
@pytest.mark.parametrize("target", OUTWARD_LINKS.values(), ids=OUTWARD_LINKS.keys())
def test_a_link_in_a_folder_never_brings_a_file_from_outside(claim, place, target):
    link = claim / "source" / place
    link.symlink_to(target if target.startswith("/") else os.path.relpath(claim / "source" / target, link.parent))
    if not link.is_file():
        assert found(claim) == ["pvc://work/source/own.csv"]
        return
    with pytest.raises(
        DataError, match=r"data.train\[0\].uri: pvc://work/source/(sub/)?x.csv lies outside of pvc://work/source"
    ):
        found(claim)


def test_a_link_over_a_link_is_followed_to_its_end(claim):
    (claim / "source/b.csv").symlink_to("c.csv")
    (claim / "source/c.csv").symlink_to("../other/theirs.csv")
    with pytest.raises(DataError, match="b.csv lies outside"):
        found(claim)


def test_links_in_a_circle_are_no_files(claim):
    (claim / "source/b.csv").symlink_to("c.csv")
    (claim / "source/c.csv").symlink_to("b.csv")
    assert found(claim) == ["pvc://work/source/own.csv"]


def test_a_linked_folder_is_not_entered(claim):
    (claim / "source/more").symlink_to("../other")
    assert found(claim) == ["pvc://work/source/own.csv"]


@pytest.mark.parametrize("target", ["own.csv", "sub/../own.csv", "./own.csv"])
def test_a_link_within_the_source_is_a_file_of_it(claim, target):
    (claim / "source/b.csv").symlink_to(target)
    assert found(claim) == ["pvc://work/source/b.csv", "pvc://work/source/own.csv"]


def test_an_address_may_be_a_link_within_its_claim(claim):
    (claim / "latest").symlink_to("source")
    assert found(claim, "latest") == ["pvc://work/latest/own.csv"]


def test_the_links_of_the_hubs_cache_lead_to_its_own_blobs_only(claim):
    snapshot = claim / "datasets--org--name/snapshots/0a1b"
    snapshot.mkdir(parents=True)
    (claim / "datasets--org--name/blobs").mkdir()
    (claim / "datasets--org--name/blobs/77aa").write_text("text,label\n")
    (snapshot / "a.csv").symlink_to("../../blobs/77aa")
    path = "datasets--org--name/snapshots/0a1b"
    assert found(claim, path) == [f"pvc://work/{path}/a.csv"]
    (snapshot / "b.csv").symlink_to("../../../other/theirs.csv")
    with pytest.raises(DataError, match="b.csv lies outside"):
        found(claim, path)


@pytest.mark.parametrize(
    "target", ["/etc", "/proc/self", "/var/run/secrets", "/dev", "../../../../../../../../etc", "/work/../etc"]
)
@pytest.mark.parametrize("below", ["", "/passwd"])
def test_an_address_that_leads_to_the_systems_files_is_refused(claim, target, below):
    (claim / "way").symlink_to(target)
    uri = f"pvc://work/way{below}"
    with pytest.raises(
        ConfigError, match=rf"model.uri: {uri} leads to /(etc|proc|run|var|dev).*, over a link; put the files"
    ):
        path_of_uri(uri, claims={"work": str(claim)}, field="model.uri")


def test_an_address_may_be_a_link_to_a_large_folder_elsewhere(claim):
    (claim / "big").symlink_to(claim.parent)
    assert path_of_uri("pvc://work/big/token.csv", claims={"work": str(claim)}, field="f").read_text() == "text,label\n"


def test_a_claim_may_lie_in_a_folder_of_the_system(claim, monkeypatch):
    """As in `/dev/shm` on a laptop."""
    monkeypatch.setattr(locate, "_SYSTEM_FOLDERS", (claim.parent,))
    assert found(claim) == ["pvc://work/source/own.csv"]


def test_a_claim_that_is_mounted_over_a_link_is_read(claim):
    claim.with_name("mount").symlink_to("work")
    assert found(claim.with_name("mount")) == ["pvc://work/source/own.csv"]


ELSEWHERE = [
    *((None, name) for name in ("../other/theirs.arrow", "../../token.arrow", "sub/../../other/theirs.arrow", "./../other/theirs.arrow", "..")),
    *(("dev", name) for name in ("../../other/theirs.arrow", "../../../token.arrow", "../..")),
    *((split, name) for split in (None, "dev") for name in ("/etc/passwd", "link.arrow", "sub/link.arrow")),
]  # fmt: skip


@pytest.mark.parametrize(("split", "name"), ELSEWHERE)
def test_the_list_of_a_saved_data_set_names_its_own_files_only(claim, split, name):
    folder = claim / "source" / (split or "")
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    for link in ("link.arrow", "sub/link.arrow"):
        (folder / link).symlink_to(claim / "other/theirs.csv")
    (folder / "own.arrow").touch()
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "own.arrow"}, {"filename": name}]}))
    if split:
        (claim / "source/dataset_dict.json").write_text(json.dumps({"splits": [split]}))
    with pytest.raises(DataError, match="lies outside of pvc://work/source"):
        found(claim, **({"split": split} if split else {}))


@pytest.mark.parametrize("split", ["..", "../other", "/etc"])
def test_a_split_is_a_folder_of_its_data_set(claim, split):
    (claim / "source/dataset_dict.json").write_text(json.dumps({"splits": [split]}))
    (claim / "other/state.json").write_text(json.dumps({"_data_files": [{"filename": "theirs.csv"}]}))
    with pytest.raises(DataError, match=r"lies outside of|cannot be read|names no data file"):
        found(claim, split=split)
