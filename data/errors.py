"""Every error that Potstill raises on purpose; each message says what was found, where, and what to do."""


class PotstillError(Exception):
    """Base of all errors a user can do something about; the CLI prints it without a traceback."""

    def __str__(self) -> str:
        # What was found may be half of a surrogate pair, which JSON can spell and no terminal can print.
        return super().__str__().encode("utf-8", errors="backslashreplace").decode("utf-8")


class ConfigError(PotstillError):
    """A recipe is wrong. Holds every fault found, so that all are mended in one go."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))

    def __reduce__(self) -> tuple[object, ...]:
        # Without this the way back from a worker would take the joined text for the list.
        return ConfigError, (self.faults,)


class DataError(PotstillError):
    """Data is not what the contract says: a damaged shard, ids that differ, a file that cannot be read."""

    def __init__(self, message: str, *, shard: str | None = None, row_id: str | None = None) -> None:
        self.message = message
        self.shard = shard
        self.row_id = row_id
        where = [f"shard {shard}" if shard else "", f"row {row_id}" if row_id else ""]
        prefix = ", ".join(part for part in where if part)
        super().__init__(f"{prefix}: {message}" if prefix else message)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments: without this the error would not survive the way back from a worker.
        return _rebuild_data_error, (self.message, self.shard, self.row_id)


class ModelError(PotstillError):
    """A teacher, student or tokenizer cannot be read, converted or used together with another."""


class StorageError(PotstillError):
    """A disk, a network or a store failed for a moment: the same may succeed when it is tried again."""


def _rebuild_data_error(message: str, shard: str | None, row_id: str | None) -> DataError:
    return DataError(message, shard=shard, row_id=row_id)
