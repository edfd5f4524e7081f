"""What happens to a vault as a whole: it was put back from a backup.

The marks change nothing that decisions look at. They stand in the log so that an auditor sees that, and where, the
log went on from an older copy.
"""

from typing import Literal

import attrs

from ironsecrets.identifiers import DigestField, Size


@attrs.frozen(kw_only=True)
class Restore:
    """The vault was put back from a backup that held ``entries`` entries with this root hash."""

    entries: Size
    root: DigestField
    type: Literal["restore"] = "restore"
