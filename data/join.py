"""Tables of one shard, side by side: joined by id, and never by position alone."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from data.errors import DataError


def join(tables: Sequence[pa.Table]) -> pa.Table:
    """One table with `id` once and the columns of all, in order; schema metadata is merged.

    Raises DataError when a table lacks `id`, rows differ in number or in id, or a column or a
    metadata key comes twice with different content.
    """
    if not tables:
        raise ValueError("no tables to join")
    first = _identified(tables[0], 0)
    columns = dict(zip(first.schema, first.columns, strict=True))
    metadata = dict(first.schema.metadata or {})
    for number, table in enumerate(tables[1:], start=1):
        _check_ids(first, _identified(table, number), number)
        names = {field.name for field in columns}
        added = [field for field in table.schema if field.name != "id"]
        if twice := [field.name for field in added if field.name in names]:
            raise DataError(f"column {', '.join(twice)} comes twice: again in table {number} of the join")
        columns |= {field: table.column(field.name) for field in added}
        metadata = _merged(metadata, table.schema.metadata or {}, number)
    schema = pa.schema(list(columns), metadata=metadata or None)
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


def join_by_role(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Tables that may have the same columns, as one: `id` once, all others, and metadata, as `role.name`.

    Raises DataError as `join` does.
    """
    return join([_with_role(role, table) for role, table in tables.items()])


def part(table: pa.Table, role: str) -> pa.Table:
    """One of the tables that `join_by_role` put together, under its own names again."""
    prefix = f"{role}."
    names = [name for name in table.schema.names if name == "id" or name.startswith(prefix)]
    metadata = {
        key.removeprefix(prefix.encode()): value
        for key, value in (table.schema.metadata or {}).items()
        if key.startswith(prefix.encode())
    }
    taken = table.select(names).rename_columns([name.removeprefix(prefix) for name in names])
    return taken.replace_schema_metadata(metadata or None)


def _with_role(role: str, table: pa.Table) -> pa.Table:
    names = [name if name == "id" else f"{role}.{name}" for name in table.schema.names]
    metadata = {f"{role}.".encode() + key: value for key, value in (table.schema.metadata or {}).items()}
    return table.rename_columns(names).replace_schema_metadata(metadata or None)


def _identified(table: pa.Table, number: int) -> pa.Table:
    if table.schema.names.count("id") != 1:
        raise DataError(f"table {number} of the join has the columns {table.schema.names}; expected `id`, once")
    return table


def _check_ids(first: pa.Table, other: pa.Table, number: int) -> None:
    if first.num_rows != other.num_rows:
        raise DataError(
            f"table {number} of the join has {other.num_rows} rows; expected {first.num_rows}, as the first has: "
            "the artefacts do not belong together; delete the later one and run again"
        )
    expected, found = first.column("id"), other.column("id")
    if expected.equals(found):
        return
    differs = pc.fill_null(pc.not_equal(expected, found), True)
    row = pc.index(differs, True).as_py()
    if row < 0:
        return
    raise DataError(
        f"table {number} of the join has id {found[row].as_py()} in row {row}; expected the first table's: "
        "the artefacts do not belong together; delete the later one and run again",
        row_id=expected[row].as_py(),
    )


def _merged(known: dict[bytes, bytes], added: dict[bytes, bytes], number: int) -> dict[bytes, bytes]:
    for key, value in added.items():
        if known.get(key, value) != value:
            raise DataError(
                f"schema metadata {key.decode()} of table {number} of the join differs from the earlier one"
            )
    return known | added
