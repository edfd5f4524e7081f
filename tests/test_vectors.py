"""The standards' own test vectors."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from returns.result import Success

from interpreters.derivation import argon2id
from ironsecrets.header import Argon2Cost
from ironsecrets.keyring import hkdf
from ironsecrets.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    frontier_of,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from ironsecrets.sealing import gcm_open, gcm_seal
from ironsecrets.sensitive import Sensitive


def blocks(*parts: str) -> Iterator[dict[str, str]]:
    """The blocks of a vector file, each a dictionary of its lines."""
    assert cryptography_vectors.__file__
    text = Path(cryptography_vectors.__file__).parent.joinpath(*parts).read_text()
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if "=" in line and not line.startswith("#")]
        yield {k.strip().lower(): v.strip() for k, v in (line.split("=", 1) for line in lines)}


def test_argon2id_rfc_9106() -> None:
    tried = 0
    for block in blocks("KDF", "argon2id.txt"):
        if "output" not in block:
            continue
        cost = Argon2Cost(
            lanes=int(block["lanes"]), memory=int(block["memcost"]), passes=int(block["iter"]), salt="unused"
        )
        made = argon2id(
            Sensitive(bytes.fromhex(block.get("pass", ""))),
            bytes.fromhex(block["salt"]),
            cost,
            length=int(block["length"]),
            secret=bytes.fromhex(block.get("secret", "")),
            associated=bytes.fromhex(block.get("ad", "")),
        )
        assert made.hex() == block["output"]
        tried += 1
    assert tried >= 4


def test_hkdf_rfc_5869() -> None:
    tried = 0
    fields: dict[str, str] = {}
    for block in blocks("KDF", "rfc-5869-HKDF-SHA256.txt"):
        fields = {**fields, **block}
        if "okm" in block:
            ikm, salt, info = (bytes.fromhex(fields.get(name, "")) for name in ("ikm", "salt", "info"))
            assert hkdf(ikm, salt, info, int(fields["l"])).hex() == fields["okm"]
            fields = {}
            tried += 1
    assert tried == 3


def test_gcm_nist() -> None:
    tried = 0
    for block in blocks("ciphers", "AES", "GCM", "gcmEncryptExtIV256.rsp"):
        if len(block.get("iv", "")) != 24 or len(block.get("tag", "")) != 32:
            continue
        key, nonce, plain, associated = (bytes.fromhex(block[name]) for name in ("key", "iv", "pt", "aad"))
        sealed = bytes.fromhex(block["ct"] + block["tag"])
        assert gcm_seal(key, nonce, plain, associated) == sealed
        assert gcm_open(key, nonce, sealed, associated) == plain
        tried += 1
    assert tried > 300


def test_gcm_nist_refusals() -> None:
    failures = 0
    assert cryptography_vectors.__file__
    file = Path(cryptography_vectors.__file__).parent / "ciphers" / "AES" / "GCM" / "gcmDecrypt256.rsp"
    for block in file.read_text().split("\n\n"):
        fields = {k.strip(): v.strip() for k, v in (x.split("=", 1) for x in block.splitlines() if "=" in x)}
        if "FAIL" in block and len(fields.get("IV", "")) == 24 and len(fields.get("Tag", "")) == 32:
            sealed = bytes.fromhex(fields["CT"] + fields["Tag"])
            key, nonce, associated = (bytes.fromhex(fields[name]) for name in ("Key", "IV", "AAD"))
            assert gcm_open(key, nonce, sealed, associated) is None
            failures += 1
    assert failures > 50


# RFC 9162 (and RFC 6962) implementations share this tree of eight leaves: Certificate Transparency's own vectors.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_merkle_roots_rfc_9162() -> None:
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT == frontier_of([]).root()
    for size, root in enumerate(ROOTS, 1):
        assert frontier_of([leaf_hash(leaf) for leaf in LEAVES[:size]]).root().hex() == root


@pytest.mark.parametrize(
    ("index", "size", "proof"),
    [
        (0, 1, []),
        (
            0,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ],
)
def test_inclusion_rfc_9162(index: int, size: int, proof: list[str]) -> None:
    leaves = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    path = tuple(bytes.fromhex(step) for step in proof)
    assert inclusion_proof(leaves, index) == Success(path)
    root = bytes.fromhex(ROOTS[size - 1])
    assert verify_inclusion(leaf=leaves[index], index=index, size=size, proof=path, root=root) == Success(None)


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (1, 1, []),
        (
            1,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
    ],
)
def test_consistency_rfc_9162(old: int, new: int, proof: list[str]) -> None:
    path = tuple(bytes.fromhex(step) for step in proof)
    assert consistency_proof([leaf_hash(leaf) for leaf in LEAVES[:new]], old) == Success(path)
    roots = {"old_root": bytes.fromhex(ROOTS[old - 1]), "new_root": bytes.fromhex(ROOTS[new - 1])}
    assert verify_consistency(old_size=old, new_size=new, proof=path, **roots) == Success(None)
