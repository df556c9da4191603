"""Where a model comes from, as a tree: revision, artifact, job, base model, data, and what asked for the job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from artifact import manifest_of

from tuneloop_api.wire.model import changed
from tuneloop_cli.commands.lineage import tree_of
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.lineage.documents import Documents
from tuneloop_cli.lineage.lines import lines, to_wire
from tuneloop_cli.lineage.tree import FOLLOWED, GONE, IN_MANIFEST, NO_MANIFEST, Node
from tuneloop_operator.desired.model_deployment.retraining_job import RunOrder
from tuneloop_operator.names import RETRAINING_LABEL

HUB = "hf://org/base"
SAID = {"modelRevision": "c0ffee", "dataDigest": "d1", "configHash": "v2:c1", "tuneloopVersion": "0.2.0"}


def uri_of(name: str, uid: str) -> str:
    return f"pvc://models/jobs/{name}-{uid}/artifact"


def manifest(name: str, base: str = HUB):
    return changed(manifest_of(["a", "b"], name=name), base_model=base, lineage=SAID)


def job(name: str, *, uid: str = "11111111", base: str = HUB, **more: Any) -> dict[str, Any]:
    status = {
        "phase": "Succeeded",
        "artifact": {"uri": uri_of(name, uid), "digest": manifest(name, base).digest()},
        "lineage": {"modelRevision": "c0ffee", "dataDigest": "d1", "imageDigest": "sha256:aa", "configHash": "v2:c1"},
        "data": {"rows": 90, "splits": {"train": 80, "test": 10}, "digest": "d1", "report": f"/r/{name}"},
    }
    spec = {"model": {"uri": base}, "data": {"train": [{"uri": "pvc://models/a.csv", "limit": 100}]}}
    metadata = {"name": name, "uid": f"{uid}-0000", "labels": more.pop("labels", {})}
    return {"kind": "FineTuneJob", "metadata": metadata, "spec": spec | more.pop("spec", {}), "status": status | more}


def revision(hash_: str, name: str, uid: str = "11111111", base: str = HUB) -> dict[str, Any]:
    return {"revision": hash_, "uri": uri_of(name, uid), "digest": manifest(name, base).digest()}


def deployment(**status: Any) -> dict[str, Any]:
    return {
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews"},
        "spec": {},
        "status": {"phase": "Ready"} | status,
    }


def documents(*objects: dict[str, Any], manifests=None, reports=None) -> Documents:
    of = {
        kind: {o["metadata"]["name"]: o for o in objects if o["kind"] == kind}
        for kind in ("FineTuneJob", "ModelDeployment")
    }
    return Documents(
        where="here",
        jobs=of["FineTuneJob"],
        deployments=of["ModelDeployment"],
        read_manifest=(manifests or {}).get,
        read_report=(reports or {}).get,
    )


def below(node: Node, *kinds: str) -> Node:
    """Return the first origin of each kind, from one to the next."""
    for kind in kinds:
        node = next(origin for origin in node.origins if origin.kind == kind)
    return node


def kinds(node: Node) -> list[str]:
    """Return the kinds from a node down its first origins."""
    return [node.kind, *(kinds(node.origins[0]) if node.origins else [])]


def test_a_revision_leads_back_to_the_base_model_and_the_data():
    there = documents(job("films"), deployment(stable=revision("7d1f", "films")))
    tree = tree_of("mdep/reviews@7d1f", there)
    assert kinds(tree) == ["ModelDeployment", "Revision", "Artifact", "FineTuneJob", "BaseModel"]
    made = below(tree, "Revision", "Artifact", "FineTuneJob")
    assert made.facts["imageDigest"] == "sha256:aa"
    assert made.facts["configHash"] == "v2:c1"
    assert (below(made, "BaseModel").name, below(made, "BaseModel").facts) == (HUB, {"revision": "c0ffee"})
    data = below(made, "Data")
    assert (data.name, data.facts) == (
        "prepared by films",
        {"digest": "d1", "rows": 90, "trainRows": 80, "testRows": 10},
    )


def test_all_revisions_are_shown_with_their_roles_each_once():
    stable, canary, earlier = (revision(name, "films") for name in ("aa", "bb", "cc"))
    there = documents(job("films"), deployment(stable=stable, canary=canary, revisions=[earlier, stable, canary]))
    tree = tree_of("mdep/reviews", there)
    assert [(node.name, node.facts["role"]) for node in tree.origins] == [
        ("aa", "stable"),
        ("bb", "canary"),
        ("cc", "earlier"),
    ]


def test_a_revision_that_is_named_is_shown_alone():
    stable, canary = revision("aa", "films"), revision("bb", "films")
    there = documents(job("films"), deployment(stable=stable, canary=canary))
    assert [node.name for node in tree_of("mdep/reviews@bb", there).origins] == ["bb"]


def test_a_job_is_found_by_the_artifact_that_its_status_names():
    made = job("films")
    made["status"]["artifact"]["uri"] = "pvc://shelf/films"
    assert below(tree_of("pvc://shelf/films", documents(made)), "FineTuneJob").facts["phase"] == "Succeeded"


def test_a_folder_that_is_called_model_is_no_artifact():
    assert below(tree_of("ftj/films", documents(job("films", base="pvc://models/model"))), "BaseModel").origins == ()


def test_sources_have_the_rows_of_the_data_report_and_their_cutoff():
    source = {"uri": "feedback://reviews", "cutoff": "2026-11-30T12:00:00Z"}
    made = job("films", spec={"data": {"train": [source], "test": [{"uri": "pvc://models/t.csv"}]}})
    report = {"sources": [{"for": "train", "uri": source["uri"], "usable": 70}]}
    (first, second) = below(tree_of("ftj/films", documents(made, reports={"/r/films": report})), "Data").origins
    assert (first.name, first.facts) == (source["uri"], {"usedFor": "train", "rows": 70, "cutoff": source["cutoff"]})
    assert (second.name, second.facts) == ("pvc://models/t.csv", {"usedFor": "test", "rows": None})


def test_what_lay_in_a_bucket_has_the_digest_of_what_was_read():
    made = job("films", spec={"data": {"train": [{"uri": "s3://reviews/2026"}]}})
    report = {
        "sources": [{"for": "train", "uri": "s3://reviews/2026", "usable": 70, "objects": {"digest": "sha256:9f2c"}}]
    }
    (source,) = below(tree_of("ftj/films", documents(made, reports={"/r/films": report})), "Data").origins
    assert source.facts == {"usedFor": "train", "rows": 70, "digest": "sha256:9f2c"}


def test_two_splits_of_one_folder_have_no_rows_of_their_own():
    sources = [{"uri": "pvc://models/a", "split": "train"}, {"uri": "pvc://models/a", "split": "more"}]
    report = {"sources": [{"for": "train", "uri": "pvc://models/a", "usable": rows} for rows in (70, 20)]}
    there = documents(job("films", spec={"data": {"train": sources}}), reports={"/r/films": report})
    assert [node.facts["rows"] for node in below(tree_of("ftj/films", there), "Data").origins] == [None, None]


def test_a_job_that_goes_on_from_an_artifact_names_its_parent_and_the_way_goes_on():
    child = job("second", uid="22222222", base=f"{uri_of('films', '11111111')}/model")
    tree = tree_of("ftj/second", documents(job("films"), child))
    assert tree.facts["parentJob"] == "films"
    parent = below(tree, "BaseModel", "Artifact", "FineTuneJob")
    assert parent.facts["parentJob"] == "none"
    assert below(parent, "BaseModel").name == HUB


def test_a_job_that_goes_on_from_a_checkpoint_names_its_parent():
    resumed = {"checkpoint": {"resumeFrom": "pvc://models/jobs/films-11111111/checkpoints/step-00000010-a1"}}
    tree = tree_of("ftj/second", documents(job("films"), job("second", uid="22222222", spec=resumed)))
    assert tree.facts["parentJob"] == "films"
    assert below(tree, "Checkpoint", "FineTuneJob").facts["phase"] == "Succeeded"


def test_of_a_deleted_job_the_manifest_says_what_it_knows():
    uri = uri_of("films", "11111111")
    there = documents(deployment(stable=revision("7d1f", "films")), manifests={uri: manifest("films")})
    made = below(tree_of("mdep/reviews", there), "Revision", "Artifact", "FineTuneJob")
    assert (made.name, made.notes) == ("films", (IN_MANIFEST,))
    assert made.facts == {"imageDigest": None, "configHash": "v2:c1", "tuneloopVersion": "0.2.0", "parentJob": "none"}
    assert below(made, "BaseModel").facts == {"revision": "c0ffee"}
    assert below(made, "Data").facts == {"digest": "d1", "rows": None}


def test_a_deleted_job_out_of_reach_has_its_name_alone():
    artifact = below(
        tree_of("mdep/reviews", documents(deployment(stable=revision("7d1f", "films")))), "Revision", "Artifact"
    )
    assert artifact.notes == (NO_MANIFEST,)
    assert (artifact.origins[0].name, artifact.origins[0].notes, artifact.origins[0].origins) == (
        "films",
        (GONE,),
        (),
    )


def test_another_job_of_the_same_name_is_not_the_one_that_was_deleted():
    there = documents(job("films", uid="99999999"), deployment(stable=revision("7d1f", "films", "11111111")))
    assert below(tree_of("mdep/reviews", there), "Revision", "Artifact", "FineTuneJob").notes == (GONE,)


def test_a_job_that_fine_tunes_the_model_of_its_predecessor_of_the_same_name_is_followed():
    old = uri_of("films", "11111111")
    there = documents(job("films", uid="22222222", base=f"{old}/model"), manifests={old: manifest("films")})
    parent = below(tree_of("ftj/films", there), "BaseModel", "Artifact", "FineTuneJob")
    assert parent.notes == (IN_MANIFEST,)
    assert below(parent, "BaseModel").name == HUB


@pytest.mark.parametrize("reachable", [True, False], ids=["by its objects", "by manifests"])
def test_a_circle_ends(reachable):
    first, second = uri_of("one", "11111111"), uri_of("two", "22222222")
    objects = [job("one", base=f"{second}/model"), job("two", uid="22222222", base=f"{first}/model")]
    manifests = {first: manifest("one", f"{second}/model"), second: manifest("two", f"{first}/model")}
    there = documents(*objects) if reachable else documents(manifests=manifests)
    tree = tree_of(first, there)
    again = below(tree, *("FineTuneJob", "BaseModel", "Artifact") * 2, "FineTuneJob")
    assert (again.name, again.notes, again.origins) == ("one", (FOLLOWED,), ())


RUN = {"job": "reviews-r1", "outcome": "Promoted"}
ORDER = RunOrder(name="reviews-r1", trigger="drift", champion_revision="aa", champion_uri="pvc://a/b", champion_digest="sha256:01", cutoff="2026-11-30T12:00:00Z")  # fmt: skip
CAUSE = {"retrainingOf": "reviews", "trigger": "drift", "feedbackCutoff": "2026-11-30T12:00:00Z", "championRevision": "aa", "championDigest": "sha256:01"}  # fmt: skip
OUTCOMES = [([RUN], "Promoted"), ([RUN | {"jobUid": "another"}], None), ([RUN | {"job": "reviews-r2"}], None), ([], None)]  # fmt: skip


@pytest.mark.parametrize(("history", "outcome"), OUTCOMES, ids=["a run", "another uid", "another job", "forgotten"])
def test_a_job_knows_what_asked_for_it_also_when_the_history_has_forgotten_its_run(history, outcome):
    asked_for = job("reviews-r1")
    asked_for["metadata"] |= {"labels": {RETRAINING_LABEL: "reviews"}, "annotations": ORDER.annotations}
    facts = tree_of("ftj/reviews-r1", documents(asked_for, deployment(retraining={"history": history}))).facts
    assert facts.items() >= (CAUSE | {"outcome": outcome}).items()


def test_no_deployment_asked_for_a_job_that_a_person_has_submitted():
    there = documents(job("reviews-r1"), deployment(retraining={"history": [RUN]}))
    assert tree_of("ftj/reviews-r1", there).facts["trigger"] == "none: no deployment asked for the job"


def test_a_manifest_with_another_digest_is_noted():
    made = job("films")
    changed_since = changed(manifest("films"), max_tokens=63)
    there = documents(made, manifests={uri_of("films", "11111111"): changed_since})
    artifact = tree_of(uri_of("films", "11111111"), there)
    assert artifact.facts == {"digest": made["status"]["artifact"]["digest"]}
    assert artifact.notes == (f"its manifest.json has another digest: {changed_since.digest()}",)


def test_an_artifact_that_no_job_of_ours_made_stands_alone():
    tree = tree_of("pvc://models/bought", documents())
    assert (tree.facts, tree.notes, tree.origins) == ({"digest": None}, (NO_MANIFEST,), ())


def test_adapters_are_followed_by_job_and_by_address():
    served = deployment()
    served["spec"] = {"adapters": [{"name": "a", "fineTuneJobRef": {"name": "films"}}, {"name": "b", "uri": uri_of("films", "11111111")}, {"name": "c", "fineTuneJobRef": {"name": "gone"}}]}  # fmt: skip
    tree = tree_of("mdep/reviews", documents(job("films"), served))
    assert [(node.name, node.origins[0].kind) for node in tree.origins] == [
        ("a", "FineTuneJob"),
        ("b", "Artifact"),
        ("c", "FineTuneJob"),
    ]
    assert tree.origins[2].origins[0].notes == (GONE,)


def test_a_job_that_has_just_been_made_has_a_tree():
    made = job("films")
    made["status"] = {}
    tree = tree_of("ftj/films", documents(made))
    assert (tree.facts["phase"], below(tree, "Data").facts) == (None, {"digest": None, "rows": None})


REFUSED = [
    ("reviews", Exit.BAD_INPUT, "names nothing"),
    ("mdep/", Exit.BAD_INPUT, "names nothing"),
    ("pod/reviews", Exit.BAD_INPUT, "unknown kind 'pod'"),
    ("ftj/films@7d1f", Exit.BAD_INPUT, "has no revisions"),
    ("mdep/review", Exit.FAILED, r"no ModelDeployment 'review' in here; there: reviews \(did you mean reviews\?\)"),
    ("ftj/films", Exit.FAILED, "no FineTuneJob 'films' in here; there: none"),
    ("mdep/reviews@ffff", Exit.FAILED, "no revision 'ffff'; there: 7d1f"),
]


@pytest.mark.parametrize(("target", "code", "message"), REFUSED)
def test_what_is_not_there_is_refused_with_what_is(target, code, message):
    with pytest.raises(TuneloopExit, match=message) as caught:
        tree_of(target, documents(deployment(stable=revision("7d1f", "films"))))
    assert caught.value.code is code


TREE = Node(
    kind="Artifact",
    name="pvc://m/a",
    facts={"digest": "sha256:01"},
    origins=(
        Node(kind="FineTuneJob", name="films", facts={"imageDigest": None}, notes=("deleted",), origins=(Node(kind="BaseModel", name=HUB, facts={}),)),
        Node(kind="Data", name="d1", facts={"rows": 1}),
    ),
)  # fmt: skip
TEXT = """\
Artifact pvc://m/a
│  digest:            sha256:01
├─ FineTuneJob films
│  │  image digest:      not recorded
│  │  (deleted)
│  └─ Base model hf://org/base
└─ Data d1
      rows:              1"""


def test_a_tree_as_text():
    assert "\n".join(lines(TREE)) == TEXT


def test_a_tree_as_data():
    found = json.loads(json.dumps(to_wire(TREE)))
    assert found["from"][0] == {
        "kind": "FineTuneJob",
        "name": "films",
        "facts": {"imageDigest": None},
        "notes": ["deleted"],
        "from": [{"kind": "BaseModel", "name": HUB, "facts": {}, "from": []}],
    }
