"""`python dev/images/build.py operator|trainer|server|development [--out FILE.tar]`, from any folder."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from images.command import main  # noqa: E402 the package is found only after the line above

if __name__ == "__main__":
    sys.exit(main())
