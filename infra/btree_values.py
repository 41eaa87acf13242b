"""Values of records as columns. That the types are the expected ones was looked at once per layout."""

from typing import Final

import numpy as np

from core.planning.columns import NO_DAY, NULL_ID, Bool, Int16, Int64, SomeTexts, TextColumn, windows
from core.planning.text_dates import DateColumn, exact_days
from infra.btree_cells import FALSE_TYPE, FIRST_TEXT_TYPE, SIZES
from infra.btree_layouts import Records
from infra.btree_pages import words

_DATE_BYTES: Final = 10
_DATE_TYPE: Final = FIRST_TEXT_TYPE + 2 * _DATE_BYTES
_TWO_DATES_BYTES: Final = 24
_SIGN_SHIFT: Final = np.where((SIZES[: FALSE_TYPE + 2] > 0), 64 - 8 * SIZES[: FALSE_TYPE + 2].astype(np.int64), 0)


def int_values(records: Records, column: int) -> Int64:
    """Return integers, NULL_ID where NULL."""
    serial = records.columns.serial[column]
    if bool(serial.all()):
        return _integers(records, serial, column, None)
    present = records.each(serial != 0).nonzero()[0]
    value = np.full(len(records.cells.key), NULL_ID, dtype=np.int64)
    if len(present):
        value[present] = _integers(records, serial, column, present)
    return value


def _integers(records: Records, serial: Int16, column: int, rows: Int64 | None) -> Int64:
    """Return the integers of some records, or of all."""
    header_end, layout = records.cells.header_end, records.layout
    if rows is not None:
        header_end, layout = header_end[rows], rows if layout is None else layout[rows]
    end, shift = records.columns.bounds[column + 1], _SIGN_SHIFT[serial]
    if layout is not None:
        end, shift = end[layout], shift[layout]
    value: Int64 = words(records.cells.data)[header_end + end - 8].byteswap().view(np.int64)
    value <<= shift
    value >>= shift
    if int(serial.max()) < FALSE_TYPE:
        return value
    each = serial if layout is None else serial[layout]
    return np.where(each < FALSE_TYPE, value, each - FALSE_TYPE)


def flag_values(records: Records, column: int) -> Bool:
    """Say which values are neither NULL nor 0."""
    serial = records.columns.serial[column]
    if bool(((serial >= FALSE_TYPE) | (serial == 0)).all()):
        return records.each(serial == FALSE_TYPE + 1)
    flag: Bool = (int_values(records, column) != 0) & records.each(serial != 0)
    return flag


def text_values(records: Records, column: int) -> TextColumn:
    """Return texts."""
    null = records.each(records.columns.serial[column] == 0)
    return TextColumn(records.cells.data, records.start(column), records.start(column + 1), null)


def some_texts(records: Records, column: int) -> SomeTexts:
    """Return the texts that are not NULL."""
    rows = records.each(records.columns.serial[column] != 0).nonzero()[0]
    return SomeTexts(rows, records.some_texts(column, rows))


def date_values(records: Records, columns: tuple[int, ...]) -> tuple[DateColumn, ...]:
    """Return dates. Two that follow each other in the record, as a schedule's do, are fetched together."""
    found = []
    head, fetched = None, -1
    for column in columns:
        serial = records.columns.serial[column]
        is_long = serial == _DATE_TYPE
        all_long = bool(is_long.all())
        place = _DATE_BYTES if column == fetched else 0
        if head is None or not place:
            head = windows(records.cells.data, records.start(column), _TWO_DATES_BYTES)
        fetched = column + 1 if all_long and not place else -1
        days = exact_days(head, place)
        if not all_long:
            days[~records.each(is_long)] = NO_DAY
        rows = (days == NO_DAY).nonzero()[0]
        if len(rows):
            rows = rows[records.some(rows, serial) != 0]
        found.append(DateColumn(days, SomeTexts(rows, records.some_texts(column, rows))))
    return tuple(found)
