"""A source of pydantic-settings: fields that say which secret they are."""

from collections.abc import Callable
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError

from interpreters.from_vault import FromVault
from interpreters.lease_handle import LeaseHandle
from ironsecrets.sensitive import REDACTED


class Hidden(str):
    """A text whose ``repr`` is redacted: a validation error of pydantic shows that of all it was given."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED


class VaultSettingsSource(PydanticBaseSettingsSource):
    """Gives each field that is annotated with :class:`FromVault` its value, and leaves the others alone.

    A field that may not be leased raises :class:`ironsecrets.Refused`: no other source is asked in its stead.
    """

    def __init__(self, settings_cls: type[BaseSettings], lease: Callable[[str], LeaseHandle]) -> None:
        super().__init__(settings_cls)
        self._lease = lease

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one field, by its alias where it has one."""
        marks = [mark for mark in field.metadata if isinstance(mark, FromVault)]
        if not marks:
            return None, field_name, False
        with self._lease(marks[0].name) as lease:
            return Hidden(lease.text()), field.alias or field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, is_complex = self.get_field_value(field, name)
            if value is not None:
                try:
                    found[key] = self.prepare_field_value(name, field, value, is_complex)
                except ValueError:
                    # The decoder's exception would carry the value.
                    raise SettingsError(f"the secret for field {name!r} is not the JSON that its type needs") from None
        return found

    def __repr__(self) -> str:
        return "<VaultSettingsSource>"
