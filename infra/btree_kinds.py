"""The combinations of a few short columns that records have, numbered as the records are read."""

from typing import Final

import numpy as np

from core.planning.columns import Int32, windows
from infra.btree_cells import FALSE_TYPE, FIRST_TEXT_TYPE, LAST_INT_TYPE, SERIAL_TYPES, RecordColumns
from infra.btree_layouts import Records
from infra.packed_read import KindText
from infra.row_numbers import RowNumbers

_WORD: Final = 8
_SERIAL_MAX: Final = 255
KIND_TYPES: Final = np.array(
    [
        serial <= LAST_INT_TYPE
        or FALSE_TYPE <= serial <= FALSE_TYPE + 1
        or (FIRST_TEXT_TYPE <= serial <= _SERIAL_MAX and serial % 2 == 1)
        for serial in range(SERIAL_TYPES)
    ]
)
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
        self._numbers = RowNumbers()
        self._kind_of_row = np.zeros(0, dtype=np.int32)
        self._kinds: dict[KindText, int] = {}
        self._forms: dict[bytes, int] = {}
        self._form = np.zeros(0, dtype=np.uint64)
        self._masks = np.zeros((0, 1), dtype=np.uint64)
        self.kinds: tuple[KindText, ...] = ()
        """All that were found so far; the same object until there is another."""

    @property
    def is_full(self) -> bool:
        """Whether there are more kinds than are worth remembering."""
        return self._numbers.count > _KINDS_MAX

    def read(self, records: Records) -> Int32:
        """Return the number of each record's kind among ``kinds``."""
        self._extend(records.columns)
        table = windows(records.cells.data, records.start(self._first) - _WORD, self._masks.shape[1] * _WORD)
        found = table.view(np.uint64)
        found &= self._masks.take(records.numbers, axis=0)
        found[:, 0] = self._form[records.numbers]  # the bytes before the first column say where the columns are
        row, examples = self._numbers.number(found)
        if examples:
            texts = [self._text(records, example) for example in examples]
            new = [self._kinds.setdefault(text, len(self._kinds)) for text in texts]
            self._kind_of_row = np.concatenate((self._kind_of_row, np.array(new, dtype=np.int32)))
            self.kinds = tuple(self._kinds)
        return self._kind_of_row[row]

    def _extend(self, columns: RecordColumns) -> None:
        """Work out where new layouts have their kinds."""
        known, count = len(self._form), columns.serial.shape[1]
        if known == count:
            return
        serial, bounds = columns.serial[:, known:], columns.bounds[:, known:] - columns.bounds[self._first, known:]
        width = max(self._masks.shape[1], 1 - -int(bounds[self._last + 1].max()) // _WORD)
        at = np.arange(-_WORD, (width - 1) * _WORD)
        kept = np.zeros((count - known, len(at)), dtype=np.bool_)
        for position in self._positions:
            kept |= (at >= bounds[position][:, np.newaxis]) & (at < bounds[position + 1][:, np.newaxis])
        masks = np.zeros((count, width), dtype=np.uint64)
        masks[:known, : self._masks.shape[1]] = self._masks
        masks[known:] = (kept.view(np.uint8) * np.uint8(0xFF)).view(np.uint64)
        places = np.concatenate((serial[list(self._positions)], bounds[list(self._positions)])).T
        forms = [self._forms.setdefault(place.tobytes(), len(self._forms)) for place in places]
        self._masks, self._form = masks, np.concatenate((self._form, np.array(forms, dtype=np.uint64)))

    def _text(self, records: Records, row: int) -> KindText:
        layout = int(records.numbers[row])
        data, body = records.cells.data, int(records.cells.header_end[row])
        serial, bounds = records.columns.serial[:, layout].tolist(), records.columns.bounds[:, layout].tolist()
        return tuple(
            _value(serial[position], data[body + bounds[position] : body + bounds[position + 1]].tobytes())
            for position in self._positions
        )


def fits_in_kinds(columns: RecordColumns, positions: tuple[int, ...]) -> bool:
    """Whether kinds are short enough, and of texts, integers and NULLs only."""
    span = columns.bounds[max(positions) + 1] - columns.bounds[min(positions)]
    return int(span.max()) <= SPAN_BYTES_MAX and bool(KIND_TYPES[columns.serial[list(positions)]].all())


def _value(serial: int, value: bytes) -> bytes | None:
    """Return a value as the text that SQLite makes of it."""
    if serial == 0:
        return None
    if serial >= FIRST_TEXT_TYPE:
        return value
    whole = int.from_bytes(value, "big", signed=True) if serial <= LAST_INT_TYPE else serial - FALSE_TYPE
    return str(whole).encode()
