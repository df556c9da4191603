"""The operator's program: `python -m tuneloop_operator`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from tuneloop_operator.progress.tls import CertificateError, ServerCertificate
from tuneloop_operator.settings.environment import SettingsError
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.process import ProcessSettings, explained_variables

_WRONG_SETTINGS = 2


def main() -> int:
    """Run the operator; return its exit status: 0 after SIGTERM, 1 if it must not go on, 2 if its settings are wrong."""
    _parser().parse_args()
    try:
        settings = ProcessSettings.from_environment(os.environ)
        decisions = OperatorSettings.from_environment(os.environ)
        certificate = ServerCertificate(settings.tls_directory)
    except (SettingsError, CertificateError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _WRONG_SETTINGS
    decisions = decisions.with_prometheus(is_set=settings.prometheus_url is not None)
    return _run(settings, decisions.with_progress_ca(certificate.authority), certificate)


def _run(settings: ProcessSettings, decisions: OperatorSettings, certificate: ServerCertificate) -> int:
    # these imports take longest, and wrong settings are to be reported at once
    from tuneloop_operator.errors import NoConfiguration  # noqa: PLC0415
    from tuneloop_operator.logs import write_logs  # noqa: PLC0415
    from tuneloop_operator.process import OperatorProcess  # noqa: PLC0415
    from tuneloop_operator.serving import CannotListen  # noqa: PLC0415

    write_logs(settings.log_level)

    async def live() -> int:
        return await OperatorProcess(settings=settings, decisions=decisions, certificate=certificate).run()

    try:
        return asyncio.run(live())
    except NoConfiguration as error:
        print(f"error: {error}", file=sys.stderr)
        return _WRONG_SETTINGS
    except CannotListen as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog="python -m tuneloop_operator",
        description="Reconciles FineTuneJobs and ModelDeployments. It is set by these environment variables:",
        epilog="\n".join(explained_variables()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


if __name__ == "__main__":
    sys.exit(main())
