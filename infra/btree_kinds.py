"""The combinations of a few short columns that records have, numbered as the records are read."""

from functools import cache, lru_cache
from typing import Final

import numpy as np

from core.planning.columns import Int32, UInt64, byte_masks, windows
from infra.btree_cells import (
    FALSE_TYPE,
    FIRST_TEXT_TYPE,
    IS_INTEGER,
    IS_TEXT,
    LAST_INT_TYPE,
    SERIAL_TYPES,
    SIZES,
    RecordColumns,
)  # fmt: skip
from infra.btree_layouts import Records
from infra.packed_read import KindText
from infra.row_numbers import RowNumbers

_WORD: Final = 8
_SERIAL_MAX: Final = 255
_KIND_TYPES: Final = (IS_INTEGER | IS_TEXT) & (np.arange(SERIAL_TYPES) <= _SERIAL_MAX)
"""Which serial types a kind may be made of: short texts, integers, NULL."""
SPAN_BYTES_MAX: Final = 496
"""From the first of a kind's columns to the end of the last."""
_KINDS_MAX: Final = 10_000


class LeafKinds:
    """Numbers kinds: of equal serial types and equal bytes.

    All their columns are fetched in one go, with what is between them, which is then blotted out.
    """

    def __init__(self, positions: tuple[int, ...]) -> None:
        """Read kinds of the columns at these positions."""
        self._positions = positions
        self._first, self._last = min(positions, default=0), max(positions, default=0)
        self._runs = _runs(positions)
        self._numbers = RowNumbers()
        self._kind_of_row = np.zeros(0, dtype=np.int32)
        self._kinds: dict[KindText, int] = {}
        self._forms: dict[bytes, int] = {}
        self._form = np.zeros(0, dtype=np.uint64)
        self._masks = np.zeros((0, 1), dtype=np.uint64)

    @property
    def is_full(self) -> bool:
        """Whether there are more kinds than are worth remembering."""
        return self._numbers.count > _KINDS_MAX

    @property
    def count(self) -> int:
        """How many were found so far."""
        return len(self._kinds)

    @property
    def kinds(self) -> tuple[KindText, ...]:
        """All that were found so far, by number."""
        return tuple(self._kinds)

    def read(self, records: Records) -> Int32:
        """Return the number of each record's kind."""
        self._extend(records.columns)
        table = windows(records.cells.data, records.start(self._first) - _WORD, self._masks.shape[1] * _WORD)
        found = table.view(np.uint64)
        found &= self._masks.take(records.numbers, axis=0)
        found[:, 0] = self._form[records.numbers]  # the bytes before the first column say where the columns are
        row, examples = self._numbers.number(found)
        if examples:
            new = self._numbers_of(found[examples])
            self._kind_of_row = np.concatenate((self._kind_of_row, np.array(new, dtype=np.int32)))
        return self._kind_of_row[row]

    def _numbers_of(self, words: UInt64) -> list[int]:
        """Return the numbers of the kinds that rows of words say."""
        forms = list(self._forms)
        raw, size = words.tobytes(), words.shape[1] * _WORD
        numbers = []
        for place, form in enumerate(words[:, 0].tolist()):
            text = _kind_text(forms[form], raw[place * size + _WORD : (place + 1) * size])
            numbers.append(self._kinds.setdefault(text, len(self._kinds)))
        return numbers

    def _extend(self, columns: RecordColumns) -> None:
        """Work out where new layouts have their kinds."""
        known, count = len(self._form), columns.serial.shape[1]
        if known == count:
            return
        serial, bounds = columns.serial[:, known:], columns.bounds[:, known:] - columns.bounds[self._first, known:]
        width = max(self._masks.shape[1], 1 - -int(bounds[self._last + 1].max()) // _WORD)
        masks = np.zeros((count, width), dtype=np.uint64)
        masks[:known, : self._masks.shape[1]] = self._masks
        first_bytes = _first_bytes(width - 1)
        for start, end in self._runs:
            masks[known:, 1:] |= first_bytes[bounds[end]] ^ first_bytes[bounds[start]]
        wanted = list(self._positions)
        places = np.concatenate((serial[wanted], bounds[wanted])).T.astype(np.int32)
        raw, size = places.tobytes(), places.shape[1] * places.itemsize
        at_each = (raw[place : place + size] for place in range(0, len(raw), size))
        forms = [self._forms.setdefault(form, len(self._forms)) for form in at_each]
        self._masks, self._form = masks, np.concatenate((self._form, np.array(forms, dtype=np.uint64)))


class SeenKinds:
    """Those of the kinds that one table has, in the order of their coming: numbers that its data alone decide."""

    def __init__(self, known: LeafKinds) -> None:
        """Choose from kinds, some of which other tables may have had."""
        self._known = known
        self._number = np.full(0, -1, dtype=np.int32)
        self.kinds: tuple[KindText, ...] = ()
        """The same object until there is another kind."""

    def read(self, records: Records) -> Int32:
        """Return the number of each record's kind among ``kinds``."""
        kind = self._known.read(records)
        if self._known.count > len(self._number):
            unseen = np.full(self._known.count - len(self._number), -1, dtype=np.int32)
            self._number = np.concatenate((self._number, unseen))
        number = self._number[kind]
        if int(number.min()) < 0:
            new, first = np.unique(kind[number < 0], return_index=True)
            new = new[first.argsort()]
            self._number[new] = np.arange(len(self.kinds), len(self.kinds) + len(new))
            texts = self._known.kinds
            self.kinds = (*self.kinds, *(texts[known] for known in new.tolist()))
            number = self._number[kind]
        return number


def _runs(positions: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the stretches of columns that follow each other: (first, after the last)."""
    runs: list[tuple[int, int]] = []
    for position in sorted(positions):
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return runs


@cache
def _first_bytes(words: int) -> UInt64:
    """Return the masks that keep the first 0, 1, 2 ... bytes of some words."""
    return byte_masks(words * _WORD).view(np.uint64)


@lru_cache(maxsize=4096)
def _kind_text(form: bytes, raw: bytes) -> KindText:
    """Return a kind from the serial types and the places of its columns, in 32 bits each, and its bytes."""
    numbers = memoryview(form).cast("i").tolist()
    half = len(numbers) // 2
    return tuple(_value(serial, raw[place:]) for serial, place in zip(numbers[:half], numbers[half:], strict=True))


def fits_in_kinds(columns: RecordColumns, positions: tuple[int, ...]) -> bool:
    """Whether kinds are short enough, and of texts, integers and NULLs only."""
    span = columns.bounds[max(positions) + 1] - columns.bounds[min(positions)]
    return int(span.max()) <= SPAN_BYTES_MAX and bool(_KIND_TYPES[columns.serial[list(positions)]].all())


def _value(serial: int, raw: bytes) -> bytes | None:
    """Return the value that bytes begin with as the text that SQLite makes of it."""
    if serial == 0:
        return None
    value = raw[: int(SIZES[serial])]
    if serial >= FIRST_TEXT_TYPE:
        return value
    whole = int.from_bytes(value, "big", signed=True) if serial <= LAST_INT_TYPE else serial - FALSE_TYPE
    return str(whole).encode()
