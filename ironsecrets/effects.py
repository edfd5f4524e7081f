"""What an applied command asks of an interpreter. Effects name things; they hold no bytes."""

import attrs

from ironsecrets.identifiers import Digest, SecretId


@attrs.frozen
class KeepRecord:
    """Store the sealed record of this version, whose digest must be ``digest``."""

    secret: SecretId
    version: int
    digest: Digest


@attrs.frozen
class EraseRecord:
    """Erase the version's wrapped DEK and ciphertext for good (crypto-shredding)."""

    secret: SecretId
    version: int


@attrs.frozen
class Reveal:
    """Open the sealed record of this version and hand the value to who asked, once the entry is durable."""

    secret: SecretId
    version: int
    digest: Digest


@attrs.frozen
class RewrapRecords:
    """Replace the wrapped DEKs of what these secrets have left behind by ones under ``epoch``; ciphertexts stay."""

    secrets: tuple[SecretId, ...]
    epoch: int


@attrs.frozen
class WriteHeader:
    """Store the header that has this digest, and let go of what it no longer holds."""

    digest: Digest


Effect = KeepRecord | EraseRecord | Reveal | RewrapRecords | WriteHeader
