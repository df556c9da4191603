from __future__ import annotations

import pytest
from local_manifests import fine_tune_job

from tuneloop_cli.local.errors import ClaimMissing
from tuneloop_cli.local.folders import prepare_claims, require_claims
from tuneloop_cli.local.kinds.kinds import LOCAL_KINDS
from tuneloop_cli.local.kubelet.pod_plan import Folders
from tuneloop_cli.local.submission import Submission, claim_written, claims_read, job_submission, trained_identity


def identified(manifest):
    return manifest | {"metadata": manifest["metadata"] | {"uid": trained_identity(manifest)}}


def in_phase(phase, **spec):
    return identified(fine_tune_job(**spec)) | {"status": {"phase": phase}}


OTHER = {"training": {"epochs": 2}}


@pytest.mark.parametrize(
    ("old", "new", "action"),
    [
        pytest.param(None, {}, Submission.CREATE, id="nothing there"),
        pytest.param(in_phase("Succeeded"), {}, Submission.UNCHANGED, id="done"),
        pytest.param(in_phase("Failed"), {}, Submission.REPLACE, id="failed"),
        pytest.param(in_phase("Running"), {}, Submission.CONTINUE, id="running"),
        pytest.param(in_phase("Suspended", suspend=True), {}, Submission.CONTINUE, id="suspended"),
        pytest.param(in_phase("Succeeded"), OTHER, Submission.REPLACE, id="done, other spec"),
        pytest.param(in_phase("Running"), OTHER, Submission.REPLACE, id="running, other spec"),
        pytest.param(
            in_phase("Running"), {"failurePolicy": {"maxRestarts": 9}}, Submission.CONTINUE, id="mutable field"
        ),
    ],
)
def test_what_submitting_does(old, new, action):
    assert job_submission(identified(fine_tune_job(**new)), old) is action


def test_a_job_that_runs_on_other_hardware_than_last_time_begins_a_new_object_in_the_same_folder():
    asked = identified(fine_tune_job())
    before = asked | {
        "spec": asked["spec"] | {"resources": {"nodes": 2, "gpusPerNode": 0}},
        "status": {"phase": "Running"},
    }
    now = asked | {"spec": asked["spec"] | {"resources": {"nodes": 1, "gpusPerNode": 0}}}
    assert job_submission(now, before) is Submission.REPLACE
    assert job_submission(now, before | {"status": {"phase": "Succeeded"}}) is Submission.UNCHANGED


def test_a_job_that_is_to_run_elsewhere_keeps_its_folder():
    placed = fine_tune_job(scheduling={"nodeSelector": {"pool": "a"}, "minNodes": 1}, labels={"a": "b"})
    assert trained_identity(placed) == trained_identity(fine_tune_job(scheduling={"minNodes": 1}))
    assert trained_identity(fine_tune_job(scheduling={"nodeSelector": {}})) == trained_identity(fine_tune_job())
    assert trained_identity(placed) != trained_identity(fine_tune_job())


def test_a_job_with_another_environment_keeps_its_folder():
    hub = {"uri": "hf://org/gated"}
    with_token = fine_tune_job(model=hub | {"secretRef": {"name": "hub"}}, env=[{"name": "A", "value": "1"}])
    assert trained_identity(with_token) == trained_identity(fine_tune_job(model=hub))
    assert with_token["spec"]["model"]["secretRef"] == {"name": "hub"}
    bucket = {"uri": "s3://reviews/2026"}
    with_secret = fine_tune_job(data={"train": [bucket | {"secretRef": {"name": "reviews"}}]})
    assert trained_identity(with_secret) == trained_identity(fine_tune_job(data={"train": [bucket]}))


def test_a_deployment_goes_on_with_what_the_file_says():
    deployment = {"kind": "ModelDeployment", "metadata": {"name": "one"}, "spec": {"replicas": 2}}
    submission = LOCAL_KINDS["ModelDeployment"].submission
    assert submission(deployment, deployment | {"spec": {"replicas": 1}}) is Submission.CONTINUE
    assert submission(deployment, None) is Submission.CREATE


@pytest.mark.parametrize("same", [{"suspend": True}, {"failurePolicy": {"maxRestarts": 5}}, {"failurePolicy": {}}])
def test_fields_that_may_change_while_it_runs_do_not_move_the_folder(same):
    assert trained_identity(fine_tune_job(**same)) == trained_identity(fine_tune_job())


def test_name_and_spec_make_the_folder():
    ids = {trained_identity(job) for job in (fine_tune_job(), fine_tune_job("other"), fine_tune_job(**OTHER))}
    assert len(ids) == 3


def test_a_claim_without_a_folder_is_an_error_that_says_which_to_make(tmp_path):
    folders = Folders(root=tmp_path)
    with pytest.raises(ClaimMissing) as missing:
        require_claims(fine_tune_job(), folders=folders)
    assert str(tmp_path / "claims" / "demo") in str(missing.value)
    assert not folders.claim("demo").exists()
    folders.claim("demo").mkdir(parents=True)
    require_claims(fine_tune_job(), folders=folders)


def test_the_claim_that_a_job_writes_to_is_made_for_it(tmp_path):
    folders = Folders(root=tmp_path)
    folders.claim("demo").mkdir(parents=True)
    manifest = fine_tune_job(storage={"claim": "out"})
    require_claims(manifest, folders=folders)
    assert not folders.claim("out").exists()
    prepare_claims(manifest, written=LOCAL_KINDS["FineTuneJob"].claim_written(manifest), folders=folders)
    assert folders.claim("out").is_dir()


def test_claims_are_found_wherever_an_address_stands():
    manifest = fine_tune_job(data={"train": [{"uri": "pvc://one/a"}], "test": [{"uri": "pvc://two/b"}]})
    assert claims_read(manifest) == {"demo", "one", "two"}
    assert claim_written(fine_tune_job(storage=None)) == "default"
