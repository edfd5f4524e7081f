"""Masking: showing that a value exists without showing it."""

HIDDEN = "***"
TAIL = 4
SHORT = 16

PREFIXES = (
    "sk-proj-",
    "sk-ant-api03-",
    "sk-ant-",
    "sk-or-v1-",
    "sk-",
    "pk_live_",
    "pk_test_",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "github_pat_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "hf_",
    "gsk_",
    "r8_",
    "AKIA",
    "AIza",
    "npm_",
    "pypi-",
    "isa_",
)


def mask(value: bytes | bytearray | memoryview) -> str:
    """A recognised provider prefix, ``***``, and at most the last 4 characters.

    The tail is never more than a quarter of what follows the prefix, and there is none for anything short,
    binary, spread over lines or built of few different characters.
    """
    try:
        text = bytes(value).decode("ascii")
    except UnicodeDecodeError:
        return HIDDEN
    if not text or not text.isprintable() or " " in text:
        return HIDDEN
    prefix = next((p for p in PREFIXES if text.startswith(p)), "")
    rest = text[len(prefix) :]
    if len(rest) < SHORT or len(set(rest)) < SHORT // 2:
        return HIDDEN
    return f"{prefix}{HIDDEN}{rest[-TAIL:]}"
