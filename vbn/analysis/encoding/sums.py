"""Sums over rows from which every ridge regression of a session is solved: X is never held as a whole.

For a set of rows, X'X, X'Y, the sums of X and Y and that of Y squared are enough to solve a regression on
them, and to score any weights on them (`Sums.residuals`). They are added up block by block of rows, for each
fold and for each *part* of the rows that scores are taken on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vbn.analysis.encoding.design import Columns, Design
from vbn.analysis.encoding.parameters import BINS_PER_FLASH, IMAGES
from vbn.analysis.spikes.trains import Booleans, Floats, Integers

Counts = NDArray[np.unsignedinteger]
ALL = "all"
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Sums:
    """Sums over some rows; addition and subtraction are those of the sets of rows.

    Attributes
    ----------
    n : number of rows.
    xx : (n_columns, n_columns) X'X.
    x : (n_columns,) sum of the rows of X.
    xy : (n_columns, n_units) X'Y.
    y, yy : (n_units,) sums of Y and of its squares.
    """

    n: int
    xx: Floats
    x: Floats
    xy: Floats
    y: Floats
    yy: Floats

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over the rows of both."""
        pairs = zip(self._values(), other._values(), strict=True)
        return Sums(self.n + other.n, *(mine + theirs for mine, theirs in pairs))

    def __sub__(self, other: Sums) -> Sums:
        """Return the sums over the rows of the first that are not of the second."""
        pairs = zip(self._values(), other._values(), strict=True)
        return Sums(self.n - other.n, *(mine - theirs for mine, theirs in pairs))

    def of_units(self, units: slice) -> Sums:
        """Return the sums of some units."""
        return Sums(self.n, self.xx, self.x, self.xy[:, units], self.y[units], self.yy[units])

    def _values(self) -> tuple[Floats, ...]:
        return self.xx, self.x, self.xy, self.y, self.yy

    def residuals(self, weights: Floats, index: Integers | slice = slice(None)) -> tuple[Floats, Floats]:
        """Return sum and sum of squares of the residuals of weights, (n_units,) each.

        Parameters
        ----------
        weights : (n_weights, n_units).
        index : the columns that they are of.
        """
        gram = self.xx[index][:, index]
        squares = self.yy + ((gram @ weights - 2 * self.xy[index]) * weights).sum(axis=0)
        return self.y - self.x[index] @ weights, squares


@dataclass(frozen=True)
class Parts:
    """The rows on which models are scored: classes, which divide all rows, and masks, which may overlap.

    Attributes
    ----------
    classes : (n_rows,) class of each row.
    n_classes : number of classes.
    masks : (n_masks, n_rows).
    of_dropout : dropout -> the parts that its adjusted score is of: ``ALL``, or numbers of classes and, after
        them, of masks, which are disjoint.
    """

    classes: Integers
    n_classes: int
    masks: Booleans
    of_dropout: dict[str, tuple[int, ...] | str]

    @property
    def n(self) -> int:
        """Number of classes and masks."""
        return self.n_classes + len(self.masks)

    def rows(self) -> Iterator[tuple[int, Integers]]:
        """Yield the number of each part, and its rows."""
        for number in range(self.n_classes):
            yield number, np.flatnonzero(self.classes == number)
        for number, mask in enumerate(self.masks):
            yield self.n_classes + number, np.flatnonzero(mask)


def score_parts(design: Design) -> Parts:
    """Return the parts of a design's rows.

    An image's kernel that is as long as its flash has its class as support; other supports get masks.
    """
    masks: list[Booleans] = []
    of_dropout: dict[str, tuple[int, ...] | str] = {}
    for name, members in design.groups().items():
        support = design.support(members)
        if support.all():
            of_dropout[name] = ALL
            continue
        if all(_is_class(each) for each in members):
            of_dropout[name] = tuple(design.class_names.index(each.name) for each in members)
            continue
        of_members = [of_dropout.get(each.name, ()) for each in members]
        found = tuple(part for parts in of_members if not isinstance(parts, str) for part in parts)
        own = [masks[part - len(design.class_names)] for part in found if part >= len(design.class_names)]
        if len(own) == len(members) > 1 and sum(mask.sum() for mask in own) == support.sum():
            of_dropout[name] = found  # their supports do not overlap
            continue
        of_dropout[name] = (len(design.class_names) + len(masks),)
        masks.append(support)
    stacked = np.array(masks, np.bool_).reshape(len(masks), design.n_rows)
    return Parts(design.flash_class, len(design.class_names), stacked, of_dropout)


def _is_class(columns: Columns) -> bool:
    return columns.events == IMAGES and columns.first_lag == 0 and columns.n == BINS_PER_FLASH


@dataclass(frozen=True)
class Folds:
    """Blocks of successive rows, and the fold of each block for the penalty and for the scores.

    Attributes
    ----------
    blocks : (n_blocks,) the rows of each.
    penalty, score : (n_blocks,) folds.
    n : number of folds.
    """

    blocks: list[slice]
    penalty: Integers
    score: Integers
    n: int

    def of_rows(self, of_block: Integers) -> Integers:
        """Return the fold of each row, (n_rows,), given that of each block."""
        return np.repeat(of_block, [block.stop - block.start for block in self.blocks])


def make_folds(n_rows: int, folds: int, blocks_per_fold: int, seed: Sequence[int]) -> Folds:
    """Cut the rows into equal blocks, and deal these to folds twice.

    Parameters
    ----------
    n_rows : number of rows, one for each fold or more.
    folds, blocks_per_fold : numbers of folds, and of blocks of each; fewer where there are too few rows.
    seed : equal ones give equal folds.
    """
    n_blocks = folds * max(1, min(blocks_per_fold, n_rows // folds))
    edges = np.linspace(0, n_rows, n_blocks + 1).astype(int)
    rng = np.random.default_rng(list(seed))
    penalty, score = (rng.permutation(n_blocks) % folds for _ in range(2))
    blocks = [slice(int(first), int(last)) for first, last in pairwise(edges)]
    return Folds(blocks, penalty.astype(np.int64), score.astype(np.int64), folds)


@dataclass(frozen=True)
class Gram:
    """What of the sums of each fold, or of each part of each fold, does not depend on the units.

    Attributes
    ----------
    n : (n_folds, ...) numbers of rows.
    xx : (n_folds, ..., n_columns, n_columns) X'X.
    x : (n_folds, ..., n_columns) sums of the rows of X.
    """

    n: Integers
    xx: Floats
    x: Floats

    @classmethod
    def empty(cls, shape: tuple[int, ...], n_columns: int) -> Gram:
        """Return zeros, to be added to."""
        xx, x = np.zeros((*shape, n_columns, n_columns)), np.zeros((*shape, n_columns))
        return cls(np.zeros(shape, np.int64), xx, x)

    def whole(self, n_classes: int) -> Gram:
        """Return the sums over the classes of each fold, that is, over all of its rows."""
        return Gram(*(values[:, :n_classes].sum(axis=1) for values in (self.n, self.xx, self.x)))


def gram_of_parts(design: Design, folds: Folds, parts: Parts) -> Gram:
    """Return X'X of the parts of the folds of the scores."""
    found = Gram.empty((folds.n, parts.n), design.n_columns)
    for place, rows in _rows_of_parts(folds, parts):
        _add_gram(found, place, design, rows)
    return found


def gram_of_folds(design: Design, folds: Folds) -> Gram:
    """Return X'X of the folds of the penalty."""
    found = Gram.empty((folds.n,), design.n_columns)
    for fold, rows in _rows_of_folds(folds, folds.penalty):
        _add_gram(found, (fold,), design, rows)
    return found


def _rows_of_folds(folds: Folds, of_block: Integers) -> Iterator[tuple[int, Integers]]:
    """Yield folds and some of their rows, not too many at once."""
    fold_of_row = folds.of_rows(of_block)
    for fold in range(folds.n):
        for rows in _few(np.flatnonzero(fold_of_row == fold)):
            yield fold, rows


def _rows_of_parts(folds: Folds, parts: Parts) -> Iterator[tuple[tuple[int, int], Integers]]:
    """Yield folds of the scores, parts, and some of their rows, not too many at once."""
    fold_of_row = folds.of_rows(folds.score)
    for part, of_part in parts.rows():
        for fold in range(folds.n):
            for rows in _few(of_part[fold_of_row[of_part] == fold]):
                yield (fold, part), rows


def _few(rows: Integers) -> list[Integers]:
    return [rows[first : first + ROWS_AT_ONCE] for first in range(0, rows.size, ROWS_AT_ONCE)]


def _add_gram(gram: Gram, place: tuple[int, ...], design: Design, rows: Integers) -> None:
    """Add X'X of some rows; what events are in is sparse, and its products take next to no time."""
    events, traces = design.events[rows], design.trace_rows(rows)
    n = events.shape[1]
    cross = events.T @ traces
    gram.xx[place][:n, :n] += (events.T @ events).toarray()
    gram.xx[place][:n, n:] += cross
    gram.xx[place][n:, :n] += cross.T
    gram.xx[place][n:, n:] += traces.T @ traces
    gram.x[place][:n] += events.sum(axis=0)
    gram.x[place][n:] += traces.sum(axis=0)
    gram.n[place] += rows.size


def add_products(xy: Floats, design: Design, rows: Integers, counts: Floats) -> None:
    """Add X'Y of some rows.

    Parameters
    ----------
    xy : (n_columns, n_units) to be added to.
    design : with the rows.
    rows : which.
    counts : (n_rows, n_units) of these rows.
    """
    xy[: design.n_counts] += design.events[rows].T @ counts
    xy[design.n_counts :] += design.trace_rows(rows).T @ counts


def fold_sums(design: Design, folds: Folds, of_block: Integers, gram: Gram, counts: Counts) -> list[Sums]:
    """Return the sums of each fold.

    Parameters
    ----------
    design, folds : with the rows.
    of_block : fold of each block, that of the penalty or of the scores.
    gram : of the folds.
    counts : (n_rows, n_units).
    """
    xy, moments = _empty_products(gram, counts)
    for fold, rows in _rows_of_folds(folds, of_block):
        of_rows = counts[rows].astype(np.float64)
        add_products(xy[fold], design, rows, of_rows)
        moments[fold] += _moments(of_rows)
    return [
        Sums(int(gram.n[fold]), gram.xx[fold], gram.x[fold], xy[fold], *moments[fold])
        for fold in range(folds.n)
    ]


def part_sums(design: Design, folds: Folds, parts: Parts, gram: Gram, counts: Counts) -> list[list[Sums]]:
    """Return the sums of each part of each fold of the scores.

    Parameters
    ----------
    design, folds, parts : with the rows.
    gram : of the parts.
    counts : (n_rows, n_units).
    """
    xy, moments = _empty_products(gram, counts)
    for place, rows in _rows_of_parts(folds, parts):
        of_rows = counts[rows].astype(np.float64)
        add_products(xy[place], design, rows, of_rows)
        moments[place] += _moments(of_rows)
    return [
        [
            Sums(int(gram.n[at]), gram.xx[at], gram.x[at], xy[at], *moments[at])
            for at in ((fold, part) for part in range(parts.n))
        ]
        for fold in range(folds.n)
    ]


def _empty_products(gram: Gram, counts: Counts) -> tuple[Floats, Floats]:
    n_units = counts.shape[1]
    return np.zeros((*gram.x.shape, n_units)), np.zeros((*gram.n.shape, 2, n_units))


def _moments(values: Floats) -> Floats:
    """Return the sums of counts, and of their squares, over rows, (2, n_units)."""
    return np.stack([values.sum(axis=0), np.einsum("ij,ij->j", values, values)])
