"""Which rows a teacher is for: those of its language pairs, where the recipe names any."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.model_folder import TeacherInfo
from stages.languages.directions import directions_of


def is_for(info: TeacherInfo, table: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether the teacher is for a row, [rows]."""
    if not info.pairs:
        return np.ones(table.num_rows, dtype=bool)
    return np.array([info.translates(str(direction)) for direction in directions_of(table)], dtype=bool)
