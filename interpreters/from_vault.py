"""Which secret a field of a settings class is."""

import attrs


@attrs.frozen
class FromVault:
    """Marks a field as a secret: ``key: Annotated[SecretStr, FromVault("openai/api-key")]``."""

    name: str
