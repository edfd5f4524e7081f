"""A vault in PostgreSQL, shared by the processes of many machines. ``pip install ironsecrets[postgres]``."""

import importlib
from typing import Any

from ironsecrets.errors import VaultError


def needed(module: str) -> Any:
    """A module of the ``postgres`` extra, or one line that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise VaultError("this needs psycopg: install ironsecrets[postgres]") from None
