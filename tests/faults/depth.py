"""How deep the fault regime goes: bounded in CI, ``IRONSECRETS_FAULTS=deep`` on demand."""

import os

DEEP = os.environ.get("IRONSECRETS_FAULTS") == "deep"
