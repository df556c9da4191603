"""`python -m tuneloop_api.combinations FOLDER`: writes the page `support-matrix.md` into a folder, `docs` as a rule."""

import sys
from pathlib import Path

from tuneloop_api.combinations.page import write

write(Path(sys.argv[1]))
