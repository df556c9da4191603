"""Labelled texts on a real node: servers keep them on a claim of their own, and a job learns from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster_kept_feedback import EACH, LABELS, ROWS_CLAIM, kept_feedback
from cluster_release import OWNER
from stories_at_once import of_story

if TYPE_CHECKING:
    from cluster_kept_feedback import KeptFeedback


@of_story(kept_feedback)
def test_two_servers_write_files_of_their_own_to_one_claim_that_root_owns(found: KeptFeedback) -> None:
    assert found.answers == [{"counted": 1, "repeated": 0}] * (2 * EACH)
    assert [len(file.rows) for file in found.files] == [EACH, EACH]
    assert {(file.uid, file.gid, file.mode) for file in found.files} == {(OWNER, OWNER, 0o640)}


@of_story(kept_feedback)
def test_each_row_has_the_text_and_its_label(found: KeptFeedback) -> None:
    rows = [row for file in found.files for row in file.rows]
    assert {row["text"]: row["label"] for row in rows} == found.sent
    assert set(found.sent.values()) == set(LABELS)


@of_story(kept_feedback)
def test_a_job_reads_all_of_it_from_a_claim_that_it_does_not_name(found: KeptFeedback) -> None:
    assert found.resolved["feedback"] == {"reviews": f"pvc://{ROWS_CLAIM}/of/reviews/feedback/reviews"}
    facts = found.source["feedback"]
    assert (facts["files"], facts["predictions"], facts["damagedLines"]) == (2, 2 * EACH, 0)
    assert 0 < found.source["usable"] < 2 * EACH, "a part of the texts is for validation and test, whichever job asks"


@of_story(kept_feedback)
def test_only_the_pod_that_prepares_sees_the_rows_and_may_not_change_them(found: KeptFeedback) -> None:
    assert [mount["readOnly"] for mount in found.mounts] == [True]
