"""Numbers of segments as stretches that follow one another: a year of WAL is a million segments and few stretches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """Whole numbers from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stretches:
    """A set of whole numbers as its longest stretches, in order."""

    parts: tuple[Stretch, ...] = ()

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Stretches:
        """The set of these numbers."""
        return cls.joined(Stretch(number, number) for number in numbers)

    @classmethod
    def joined(cls, parts: Iterable[Stretch]) -> Stretches:
        """The set of all numbers in these stretches, which may overlap and come in any order."""
        found: list[Stretch] = []
        for part in sorted(parts):
            if part.first > part.last:
                continue
            if found and part.first <= found[-1].last + 1:
                found[-1] = Stretch(found[-1].first, max(found[-1].last, part.last))
            else:
                found.append(part)
        return cls(tuple(found))

    def __contains__(self, number: int) -> bool:
        return self.around(number) is not None

    def __iter__(self) -> Iterator[int]:
        for part in self.parts:
            yield from range(part.first, part.last + 1)

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __or__(self, other: Stretches) -> Stretches:
        return self.joined((*self.parts, *other.parts))

    def __sub__(self, other: Stretches) -> Stretches:
        left: list[Stretch] = []
        for part in self.parts:
            first = part.first
            for cut in other.parts:
                if cut.last < first or cut.first > part.last:
                    continue
                left.append(Stretch(first, cut.first - 1))
                first = cut.last + 1
            left.append(Stretch(first, part.last))
        return self.joined(left)

    def __and__(self, other: Stretches) -> Stretches:
        return self - (self - other)

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return sum(part.last - part.first + 1 for part in self.parts)

    def around(self, number: int) -> Stretch | None:
        """The stretch that holds a number."""
        index = bisect_right(self.parts, number, key=lambda part: part.first) - 1
        return self.parts[index] if index >= 0 and number <= self.parts[index].last else None
