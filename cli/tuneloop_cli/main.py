"""The command line: one thin function a command. The commands themselves live in `tuneloop_cli.commands`.

Exit codes: 0 success, 1 the job failed or the requested object is not there, 2 bad input, 3 the folder is in use,
4 what was asked for does not fit where a roll-out is, 130 stopped by Ctrl-C (a checkpoint was saved).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.errors import LocalError
from tuneloop_cli.terminal import complain

DEFAULT_DIR = Path(".tuneloop")

app = typer.Typer(
    name="tuneloop",
    help="Fine-tune, serve and watch language models with the manifests of a Kubernetes cluster, on this machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

rollout = typer.Typer(
    name="rollout",
    no_args_is_help=True,
    help="Show or steer the roll-out of a ModelDeployment that `tuneloop serve` or `tuneloop up` runs.",
    epilog="Examples: tuneloop rollout status reviews   |   tuneloop rollout approve reviews   |   tuneloop rollout abort reviews",
)
app.add_typer(rollout)

Files = Annotated[list[Path], typer.Option("-f", "--filename", help="Manifest file, or a folder of them.")]
Folder = Annotated[
    Path, typer.Option("--dir", help="Folder of jobs, claims, logs and artifacts.", envvar="TUNELOOP_DIR")
]
Ranks = Annotated[
    int | None,
    typer.Option("--ranks", min=1, help="CPU ranks that stand in for absent GPUs. Default: the number of cores."),
]
Deployment = Annotated[str, typer.Argument(metavar="NAME", help="A ModelDeployment.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until the operator has obeyed.")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="ftj (FineTuneJob) or mdep (ModelDeployment).")]


@app.command(epilog="Example: tuneloop run -f examples/reviews/job.yaml")
def run(
    files: Files,
    folder: Folder = DEFAULT_DIR,
    ranks: Ranks = None,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines even on a terminal.")] = False,
) -> None:
    """Run one FineTuneJob to its end, and show how far it is.

    Ctrl-C saves a checkpoint and stops; the same command again goes on from it. The same command after the job succeeded
    says so and does nothing.
    """
    from tuneloop_cli.commands.run import run_job

    run_job(files, folder=folder, ranks=ranks, plain=plain)


@app.command(epilog="Example: tuneloop serve -f examples/reviews/deployment.yaml --port 8080")
def serve(
    files: Files,
    folder: Folder = DEFAULT_DIR,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8080,
) -> None:
    """Serve one ModelDeployment over HTTP until Ctrl-C.

    Try it: curl 127.0.0.1:8080 -d '{"inputs": "A joy from start to finish."}' -H 'content-type: application/json'

    The server also speaks the Open Inference Protocol (/v2) and OpenAI's embeddings (/v1/embeddings): docs/serving.md has examples.
    """
    from tuneloop_cli.commands.serve import serve_deployment

    serve_deployment(files, folder=folder, port=port)


@app.command(epilog="Example: tuneloop up -f examples/reviews/")
def up(files: Files, folder: Folder = DEFAULT_DIR, ranks: Ranks = None) -> None:
    """Keep everything in the manifests running until Ctrl-C, as a cluster would."""
    from tuneloop_cli.commands.up import keep_up

    keep_up(files, folder=folder, ranks=ranks)


@app.command(epilog="Examples: tuneloop get   |   tuneloop get ftj -w   |   tuneloop get mdep reviews -o yaml")
def get(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="ftj or mdep. Default: both.")] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One object. Default: all.")] = None,
    folder: Folder = DEFAULT_DIR,
    output: Annotated[str, typer.Option("-o", "--output", help="table, wide, json, yaml or name.")] = "table",
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Show changes until Ctrl-C.")] = False,
) -> None:
    """Show jobs and deployments as a table, or one as JSON or YAML."""
    from tuneloop_cli.commands.get import show

    show(kind, name, folder=folder, output=output, watch=watch)


@app.command(epilog="Example: tuneloop describe ftj reviews")
def describe(kind: Kind, name: str, folder: Folder = DEFAULT_DIR) -> None:
    """Describe one object: progress, data, checkpoints, results, failures."""
    from tuneloop_cli.commands.get import describe_one

    describe_one(kind, name, folder=folder)


@app.command(epilog="Example: tuneloop explain mdep/reviews")
def explain(target: str, folder: Folder = DEFAULT_DIR) -> None:
    """Say why a deployment's model is trained again, or why not. No lock is needed."""
    from tuneloop_cli.commands.explain import explain as explain_one

    explain_one(target, folder=folder)


@app.command(
    epilog="Examples: tuneloop logs reviews   |   tuneloop logs reviews --stage prepare   |   tuneloop logs reviews -F"
)
def logs(
    name: Annotated[str, typer.Argument(help="A FineTuneJob or ModelDeployment.")],
    folder: Folder = DEFAULT_DIR,
    stage: Annotated[
        str | None,
        typer.Option(
            "--stage",
            help="prepare, train, export, serve, router or comparator. Default: the newest; the last three together.",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("-F", "--follow", help="Go on with new lines until Ctrl-C.")] = False,
) -> None:
    """Print the log of a job's or deployment's pods."""
    from tuneloop_cli.commands.logs import print_logs

    print_logs(name, folder=folder, stage=stage, follow=follow)


@app.command(epilog="Example: tuneloop validate -f examples/reviews/job.yaml -f examples/reviews/deployment.yaml")
def validate(files: Files, folder: Folder = DEFAULT_DIR) -> None:
    """Check manifests, and that the models and files they name are there; change nothing."""
    from tuneloop_cli.commands.validate import check_files

    check_files(files, folder=folder)


@app.command(epilog="Examples: tuneloop plan -f examples/reviews/job.yaml   |   tuneloop plan -f job.yaml -o json")
def plan(
    files: Files,
    folder: Folder = DEFAULT_DIR,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json.")] = "table",
) -> None:
    """Show what one FineTuneJob would do, without doing it: values chosen, ranks, memory, room on its claim.

    Reads the model's configuration and all rows, as the job itself would; changes nothing. The memory is that of one rank, planned to
    within 15 %. Where it is more than resources.memory, the nearest settings that fit are named. Exit code 0: the job can run;
    2: the manifest is wrong, or the job cannot work as it is.
    """
    from tuneloop_cli.commands.plan import show_plan

    show_plan(files, folder=folder, output=output)


@app.command(
    epilog="Examples: tuneloop lineage mdep/reviews   |   tuneloop lineage mdep/reviews@7d1f0b2c --json   |   tuneloop lineage ftj/reviews -n team-a"
)
def lineage(
    target: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="mdep/NAME, mdep/NAME@REVISION, ftj/NAME, or the address of an artifact."),
    ],
    folder: Folder = DEFAULT_DIR,
    namespace: Annotated[
        str | None,
        typer.Option("-n", "--namespace", help="Namespace of a cluster (KUBECONFIG), in place of the folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON in place of a tree.")] = False,
) -> None:
    """Show where a model comes from: artifact, job, image, settings, data, base model, and what asked for the job.

    What no program has recorded is shown as such. Of a job that is deleted the manifest of its artifact is left, where the claim can be read.
    """
    from tuneloop_cli.commands.lineage import show_lineage

    show_lineage(target, folder=folder, namespace=namespace, as_json=as_json)


@app.command(
    epilog="Examples: tuneloop backtest deployment.yaml --prometheus http://127.0.0.1:9090 --from 30d   |   "
    "tuneloop backtest deployment.yaml --file dump.om --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --json"
)
def backtest(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="File with one ModelDeployment.")],
    *,
    prometheus: Annotated[
        str, typer.Option("--prometheus", metavar="URL", help="Prometheus that has scraped the deployment.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="DUMP", help="In its place, samples in the text format OpenMetrics (promtool)."),
    ] = None,
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Begin: a time with its zone, or how long ago.")
    ] = "30d",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End, likewise. 0s is now.")] = "0s",
    step: Annotated[str, typer.Option("--step", metavar="DURATION", help="Time between two looks, 1s to 3m.")] = "1m",
    revision: Annotated[
        str,
        typer.Option(
            "--revision", metavar="HASH", help="Stable revision of the whole time. Default: as Prometheus has it."
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON in place of lines.")] = False,
) -> None:
    """Show when the triggers of spec.retraining would have fired in the past, before they may start anything.

    The operator's own triggers look at the numbers that Prometheus has kept; their queries are answered by Prometheus itself. For each trigger: when it
    was pending, firing or without data, for how long, and how many false alarms chance alone makes. Then the runs that would have begun, of which each
    is taken to be over at once and to change nothing. A manual trigger is not replayed.

    A dump needs the series of the recording rules, too (docs/metrics.md). Exit code 0: replayed, whatever fired; 1: Prometheus did not
    answer; 2: the manifest or an option is wrong.
    """
    from tuneloop_cli.commands.backtest import backtest as replay

    replay(
        manifest,
        prometheus=prometheus,
        dump=file,
        begin=begin,
        end=end,
        step=step,
        revision=revision,
        as_json=as_json,
    )


@rollout.command(
    epilog="Examples: tuneloop rollout status reviews   |   tuneloop rollout status reviews -w   |   tuneloop rollout status reviews -w && deploy"
)
def status(
    name: Deployment,
    folder: Folder = DEFAULT_DIR,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Show changes until the roll-out is over.")] = False,
) -> None:
    """Show step, shares, what each gate has found, and what may be done now.

    With --watch a line at each change, until nothing is on its way. Exit code 0: the new revision serves; 1: it was rejected.
    """
    from tuneloop_cli.commands.rollout import show_rollout

    show_rollout(name, folder=folder, watch=watch)


@rollout.command(epilog="Example: tuneloop rollout status reviews && tuneloop rollout approve reviews")
def approve(name: Deployment, folder: Folder = DEFAULT_DIR, no_wait: NoWait = False) -> None:
    """End the pause of a step, or let the promotion happen that waits for a person.

    Only what waits now is approved: exit code 4 if nothing does.
    """
    _steer("approve", name, folder=folder, no_wait=no_wait)


@rollout.command(epilog="Example: tuneloop rollout skip reviews")
def skip(name: Deployment, folder: Folder = DEFAULT_DIR, no_wait: NoWait = False) -> None:
    """End the current step at once, also one that is held.

    The gates of the step are not waited for; the next step begins.
    """
    _steer("skip", name, folder=folder, no_wait=no_wait)


@rollout.command(epilog="Example: tuneloop rollout promote reviews && tuneloop rollout status reviews --watch")
def promote(name: Deployment, folder: Folder = DEFAULT_DIR, no_wait: NoWait = False) -> None:
    """Promote the new revision once its servers are ready: no step, gate or approval is waited for."""
    _steer("promote", name, folder=folder, no_wait=no_wait)


@rollout.command(epilog="Example: tuneloop rollout abort reviews")
def abort(name: Deployment, folder: Folder = DEFAULT_DIR, no_wait: NoWait = False) -> None:
    """End the roll-out and reject the new revision: the stable one gets all requests.

    It is not offered again until its manifest changes, or by `tuneloop rollout retry`.
    """
    _steer("abort", name, folder=folder, no_wait=no_wait)


@rollout.command("roll-back", epilog="Example: tuneloop rollout roll-back reviews")
def roll_back(name: Deployment, folder: Folder = DEFAULT_DIR, no_wait: NoWait = False) -> None:
    """Take the new revision back; after its promotion, bring the revision before back.

    After a promotion this works for as long as rollout.rollback.window lasts.
    """
    _steer("roll-back", name, folder=folder, no_wait=no_wait)


@rollout.command(epilog="Example: tuneloop rollout retry reviews --no-wait")
def retry(name: Deployment, folder: Folder = DEFAULT_DIR, no_wait: NoWait = False) -> None:
    """Offer a rejected revision again, or begin a held roll-out anew with new evidence."""
    _steer("retry", name, folder=folder, no_wait=no_wait)


def _steer(verb: str, name: str, *, folder: Path, no_wait: bool) -> None:
    from tuneloop_cli.commands.rollout import steer_rollout

    steer_rollout(verb, name, folder=folder, wait=not no_wait)


def main() -> None:
    """Run the command line. Every known error ends in one message and an exit code."""
    try:
        app()
    except TuneloopExit as ended:
        if ended.message:
            complain(ended.message)
        sys.exit(ended.code)
    except LocalError as error:
        complain(error)
        sys.exit(Exit.FAILED)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        sys.exit(Exit.OK)
