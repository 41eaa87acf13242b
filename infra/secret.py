"""A text that must never be seen: not in a log, not in an error, not in a pickle."""

from typing import Final, NoReturn, final

SHOWN: Final = "[secret]"


@final
class Secret:
    """Holds a secret; whoever needs it asks with ``reveal()``, and everything else prints ``[secret]``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._text

    def __repr__(self) -> str:
        return SHOWN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret does not leave its process")
