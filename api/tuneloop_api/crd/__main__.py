"""`python -m tuneloop_api.crd`."""

import sys

from tuneloop_api.crd.generator import main

sys.exit(main())
