"""A direction of a latent space, as a value that is found once and kept in a small file.

The repr of a direction is part of the names of properties, and so of the keys of baselines. It therefore has a digest
of the values, which is the same in every run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gentest._support.arguments import as_number
from gentest._support.files import read_json, write_whole
from gentest._support.printable import in_one_line
from gentest.errors import InvalidArgument
from gentest.results.records import pack, read_record, unpack
from gentest.spaces.space import Array, Choice, Space, digest_of, format_shape

SCHEMA = 1
MAX_BYTES = 64 * 2**20
"""The largest file that is read: 12 million dimensions."""
UNIT = 1e-6
"""A vector with a length this near to 1 is kept as it is, so that a stored one stays the same to the bit."""


@dataclass(frozen=True, init=False)
class Direction:
    """A unit vector [*shape] of a latent space, float32; for a `Joint`, of its part `part`.

    `vector` may have any length above 0. `attribute` names what rises along it, and `accuracy` in [0, 1] is the share
    of held-out latents whose attribute it classified right; `gentest.find_direction` fills in both. Directions that
    move latents alike are equal. `-direction` points the other way. Raises `InvalidArgument` for a vector that is not
    finite or all 0, and for other arguments of a wrong type.

    >>> up = Direction([3.0, 4.0])
    >>> up.vector.tolist(), (-up).vector.tolist()
    ([0.6000000238418579, 0.800000011920929], [-0.6000000238418579, -0.800000011920929])
    >>> up
    Direction(2, 4f07a8a607ca877d)
    """

    vector: Array = field(compare=False)
    part: str
    digest: str
    attribute: str = field(compare=False)
    accuracy: float | None = field(compare=False)

    def __init__(
        self, vector: ArrayLike, *, part: str = "", attribute: str = "", accuracy: float | None = None
    ) -> None:
        for name, text in (("part", part), ("attribute", attribute)):
            if not isinstance(text, str):
                raise InvalidArgument.expected("a text", name, text)
        if accuracy is not None and not 0.0 <= as_number(accuracy) <= 1.0:
            raise InvalidArgument.expected("a share in [0, 1] or None", "accuracy", accuracy)
        unit = _unit(vector)
        unit.setflags(write=False)
        values = {"vector": unit, "part": part, "digest": digest_of(unit), "attribute": attribute, "accuracy": accuracy}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        part = f"part={self.part!r}, " if self.part else ""
        return f"Direction({format_shape(self.vector.shape)}, {part}{self.digest})"

    def __neg__(self) -> Direction:
        attribute = self.attribute[1:] if self.attribute.startswith("-") else f"-{self.attribute}"
        return Direction(
            -self.vector, part=self.part, attribute=attribute if self.attribute else "", accuracy=self.accuracy
        )

    def part_of(self, space: Space) -> str:
        """The name of the part that the direction moves: its own `part`, or the only part of the space that moves.

        Raises `InvalidArgument` if the space has no such part, or if that has another shape.
        """
        moving = [name for name, part in space.parts.items() if part.n_groups and not isinstance(part, Choice)]
        name = moving[0] if not self.part and len(moving) == 1 else self.part
        if name not in moving:
            gap = f"has no part {self.part!r} that moves" if self.part else "does not have exactly one part that moves"
            listed = ", ".join(map(repr, moving)) or "none"
            raise InvalidArgument(
                f"{self!r} does not fit {space!r}, which {gap} (moving parts: {listed}); give along={{part: array}}"
            )
        if space.parts[name].shape != self.vector.shape:
            raise InvalidArgument(
                f"Expected a direction of shape {space.parts[name].shape} for {space!r} "
                f"but got {self!r} of shape {self.vector.shape}"
            )
        return name

    def to_json(self) -> dict[str, Any]:
        """The direction as JSON for `from_json`; the vector is base64 of little-endian float32."""
        return asdict(
            _Stored(
                schema=SCHEMA,
                shape=self.vector.shape,
                part=self.part,
                attribute=self.attribute,
                accuracy=self.accuracy,
                digest=self.digest,
                vector=pack(self.vector.ravel().tolist()),
            )
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Direction:
        """The direction that `to_json` wrote. Raises `InvalidArgument` for anything else."""
        stored: _Stored = read_record(_Stored, value)
        if stored.schema != SCHEMA:
            raise InvalidArgument.expected(f"a direction of schema {SCHEMA}", "schema", stored.schema)
        values = np.array(unpack(stored.vector, "vector"), np.float32)
        if any(size < 1 for size in stored.shape) or prod(stored.shape) != values.size:
            raise InvalidArgument(f"a direction of shape {stored.shape} cannot have {values.size} values")
        direction = cls(
            values.reshape(stored.shape), part=stored.part, attribute=stored.attribute, accuracy=stored.accuracy
        )
        if direction.digest != stored.digest:
            raise InvalidArgument(f"the direction's digest is {direction.digest}, not {stored.digest}: it was edited")
        return direction

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file to keep in a repository, 5.5 bytes a dimension."""
        write_whole(Path(path), json.dumps(self.to_json(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Direction:
        """The direction in a file of `save`. Raises `InvalidArgument`, which names the file, for anything else."""
        try:
            return cls.from_json(read_json(Path(path), most_bytes=MAX_BYTES))
        except (OSError, ValueError) as error:  # an InvalidArgument is a ValueError
            raise InvalidArgument(f"{path}: not a direction that gentest saved: {in_one_line(str(error))}") from error


@dataclass(frozen=True)
class _Stored:
    """The file of a direction."""

    schema: int
    shape: tuple[int, ...]
    part: str
    attribute: str
    accuracy: float | None
    digest: str
    vector: str


def _unit(vector: Any) -> Array:
    """A vector of any length above 0 as a unit vector, float32, without negative zeros. Raises `InvalidArgument`."""
    try:
        values = np.array(vector.detach().cpu().double().numpy() if hasattr(vector, "detach") else vector, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidArgument(f"Expected a direction as numbers [*shape]: {error}") from error
    size = float(np.abs(values).max()) if values.size else 0.0
    if values.ndim < 1 or not 0.0 < size < np.inf:  # NaN is not above 0 either
        raise InvalidArgument(
            f"Expected a direction [*shape] of finite numbers, not all 0, but got one of shape {values.shape} "
            f"whose largest is {size:g}"
        )
    length = float(np.linalg.norm(values / size)) * size
    unit = values if abs(length - 1.0) <= UNIT else values / size / (length / size)
    return np.asarray(unit + 0.0, np.float32)
