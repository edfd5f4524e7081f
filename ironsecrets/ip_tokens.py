"""IP tokens: a provider key on its way from a control panel to a runtime, as the Iron Cage platform writes it.

    AES256:<base64 of a 12-byte nonce>:<base64 of the ciphertext>:<base64 of the 16-byte tag>

AES-256-GCM (NIST SP 800-38D) without associated data, under a 32-byte session key that both ends share; base64
is RFC 4648 section 4 with padding, in its one canonical form. The format binds a token to nothing but its key and
does not commit to the key: whoever holds the key can make tokens, and a token can be replayed while the key lasts.
Nonces are random, so one session key may encrypt at most 2**32 tokens (SP 800-38D section 8.3).
"""

import hmac

from returns.result import Failure, Result, Success

from ironsecrets.encoding import from_base64, to_base64
from ironsecrets.refusals import Refusal
from ironsecrets.sealing import KEY_BYTES, NONCE_BYTES, TAG_BYTES, VALUE_LIMIT, VALUE_TOO_LARGE, gcm_open, gcm_seal
from ironsecrets.sensitive import Sensitive

BAD_IP_TOKEN = Refusal("bad-ip-token", "that is not an IP token of this session key, or it was changed on its way")
BAD_IP_TOKEN_KEY = Refusal("bad-ip-token-key", "an IP token key is 64 hex characters, not all zeros")

_PREFIX = "AES256"
_TEXT_LIMIT = len(_PREFIX) + 3 + (VALUE_LIMIT + NONCE_BYTES + TAG_BYTES + 9) * 4 // 3


def parse_ip_token_key(text: str) -> Result[Sensitive, Refusal]:
    """The 32-byte session key that 64 hex characters stand for. Refusals: ``bad-ip-token-key``."""
    if len(text) != 2 * KEY_BYTES or not text.isascii() or not text.isalnum():
        return Failure(BAD_IP_TOKEN_KEY)
    try:
        key = Sensitive.adopt(bytearray.fromhex(text))
    except ValueError:
        return Failure(BAD_IP_TOKEN_KEY)
    if hmac.compare_digest(key.view(), bytes(KEY_BYTES)):
        return Failure(BAD_IP_TOKEN_KEY)
    return Success(key)


def seal_ip_token(key: Sensitive, nonce: bytes, value: Sensitive) -> Result[str, Refusal]:
    """The token of ``value`` under ``key``. ``nonce``: 12 random bytes, never used with that key before.

    Refusals: ``value-too-large``.
    """
    if len(value) > VALUE_LIMIT:
        return Failure(VALUE_TOO_LARGE)
    sealed = gcm_seal(key.view(), nonce, value.view(), b"")
    parts = (nonce, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
    return Success(":".join((_PREFIX, *(to_base64(part) for part in parts))))


def open_ip_token(key: Sensitive, token: str) -> Result[Sensitive, Refusal]:
    """The value in ``token``: the inverse of :func:`seal_ip_token`. No other text opens to it.

    One answer for whatever is wrong, so that it says nothing of the key. Refusals: ``bad-ip-token``.
    """
    # Its length first: what comes from outside is not decoded before it is known to be small.
    parts = token.split(":", 4) if len(token) <= _TEXT_LIMIT else []
    if len(parts) != 4 or parts[0] != _PREFIX:
        return Failure(BAD_IP_TOKEN)
    nonce, ciphertext, tag = (from_base64(part).value_or(b"") for part in parts[1:])
    # An empty ciphertext is the empty value; any other part that decodes to nothing was no base64.
    misread = parts[2] != "" and not ciphertext
    if misread or len(nonce) != NONCE_BYTES or len(tag) != TAG_BYTES or len(ciphertext) > VALUE_LIMIT:
        return Failure(BAD_IP_TOKEN)
    opened = gcm_open(key.view(), nonce, ciphertext + tag, b"")
    return Failure(BAD_IP_TOKEN) if opened is None else Success(Sensitive.adopt(opened))
