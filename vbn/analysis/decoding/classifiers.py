"""Linear classifiers that are fitted to many label vectors at once, since a null needs hundreds.

Both are exact: the discriminant by the scatter that all label vectors share, and a correction whose rank is
the number of classes, the support vector machine by Newton's method in the primal (Keerthi and DeCoste 2005;
Chapelle 2007), which ends at the optimum of scikit-learn's ``LinearSVC``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.trains import Booleans, Floats, Integers

DISCRIMINANT, SVM = "discriminant", "svm"
MOST_STEPS = 100
_LEAST_SHARE, _ARMIJO, _TOLERANCE = 1e-6, 1e-4, 1e-9


@dataclass(frozen=True)
class Split:
    """The items of one fold, and the others, with all label vectors: prepared once for many features.

    Attributes
    ----------
    test : (n_items,) True for those that are predicted.
    n_vectors, n_classes : numbers of label vectors and classes.
    first : (n_runs,) the first item of each run of training items that all vectors give the same class.
    coded : (n_runs, n_classes * n_vectors) 1 where a run is of a class, class by class.
    sizes : (n_vectors, n_classes) training items of each class.
    labels : (n_test, n_vectors) classes of the test items.
    shares : (n_test, n_vectors) what each counts for the balanced accuracy.
    """

    test: Booleans
    n_vectors: int
    n_classes: int
    first: Integers
    coded: Floats
    sizes: Integers
    labels: Integers
    shares: Floats


def splits(labels: Integers, folds: ArrayLike, n_classes: int, runs: ArrayLike | None = None) -> list[Split]:
    """Prepare every fold.

    Parameters
    ----------
    labels : (n_vectors, n_items) class of each item, by each label vector.
    folds : (n_items,) number of the fold of each item.
    n_classes : number of classes, all of which every vector has.
    runs : (n_items,) number of the run of each item, where items of a run are of one class in every vector.
    """
    of_fold, n_vectors = np.asarray(folds), len(labels)
    of_run = np.arange(of_fold.size) if runs is None else np.asarray(runs)
    total = (labels[:, :, np.newaxis] == np.arange(n_classes)).sum(axis=1)
    share = 1 / (n_classes * np.maximum(np.take_along_axis(total, labels, axis=1), 1))
    found = []
    for fold in np.unique(of_fold):
        test = of_fold == fold
        first = np.flatnonzero(np.diff(of_run[~test], prepend=-1))
        coded = labels[:, ~test].T[:, np.newaxis] == np.arange(n_classes)[:, np.newaxis]
        flat = coded[first].reshape(first.size, -1).astype(np.float64)
        of_test = (labels[:, test].T, share[:, test].T)
        found.append(Split(test, n_vectors, n_classes, first, flat, coded.sum(axis=0).T, *of_test))
    return found


def discriminant_classes(train: Floats, test: Floats, split: Split, shrinkage: float) -> Integers:
    """Predict test items by linear discriminants with equal priors.

    Parameters
    ----------
    train, test : (n_train, n_features), (n_test, n_features).
    split : labels of the items.
    shrinkage : added to the diagonal of the scatter, as a share of its mean; above 0.

    Returns
    -------
    (n_test, n_vectors) predicted classes, of those that have training items.
    """
    n_features, shape = train.shape[1], (split.n_classes, split.n_vectors)
    mean = train.mean(axis=0)
    centred = train - mean
    scatter = centred.T @ centred
    diagonal = np.diag_indices(n_features)
    scatter[diagonal] += shrinkage * scatter[diagonal].mean() or 1.0
    of_runs = centred if split.first.size == len(train) else np.add.reduceat(centred, split.first, axis=0)
    means = (of_runs.T @ split.coded) / np.maximum(split.sizes.T.ravel(), 1)
    solved = np.linalg.solve(scatter, means).reshape(n_features, *shape).transpose(2, 0, 1)
    means = means.reshape(n_features, *shape).transpose(2, 1, 0)
    # Of the scatter within classes only the part between them depends on labels: S - M D M', inverted.
    products = means @ solved
    correction = np.linalg.inv(np.eye(split.n_classes) - split.sizes[:, :, np.newaxis] * products)
    weights = (solved @ correction).transpose(2, 1, 0)
    offsets = -np.einsum("vcd,vdc->cv", products, correction) / 2
    offsets[split.sizes.T == 0] = -np.inf
    if split.n_classes == 2:
        return np.asarray((test - mean) @ (weights[1] - weights[0]) > offsets[0] - offsets[1], dtype=np.int64)
    items, weights, offsets = (each.astype(np.float32) for each in (test - mean, weights, offsets))  # fast
    return _greatest(items @ of_class + offset for of_class, offset in zip(weights, offsets, strict=True))


def _greatest(scores: Iterable[NDArray[np.float32]]) -> Integers:
    """Return the number of the array that has the greatest value, the first of equal ones."""
    each = iter(scores)
    best = next(each)
    found = np.zeros(best.shape, dtype=np.int64)
    for number, score in enumerate(each, start=1):
        found[score > best] = number
        np.maximum(score, best, out=best)
    return found


def svm_classes(train: Floats, test: Floats, split: Split, cost: float) -> Integers:
    """Predict test items by support vector machines with squared hinge loss, each class against the rest.

    Parameters
    ----------
    train, test, split : as for `discriminant_classes`.
    cost : C of scikit-learn's ``LinearSVC``; items of a class count by the inverse of its size
        (``class_weight="balanced"``), with more than two classes those of the rest as they are.

    Returns
    -------
    (n_test, n_vectors) predicted classes.
    """
    scores = svm_scores(train, test, split, cost)
    if split.n_classes == 2:
        return np.asarray((scores[..., 0] > 0).astype(np.int64))
    return np.asarray(np.where(split.sizes > 0, scores, -np.inf).argmax(axis=2))


def svm_scores(train: Floats, test: Floats, split: Split, cost: float) -> Floats:
    """Return (n_test, n_vectors, n_classes) decision values; of two classes only that of the second."""
    n_train, is_binary = len(train), split.n_classes == 2
    train, test = _rotated(_with_ones(train), _with_ones(test))
    sizes = split.sizes[:, 1:] if is_binary else split.sizes
    lengths = np.diff(split.first, append=n_train)
    coded = np.repeat(split.coded, lengths, axis=0).reshape(n_train, split.n_classes, split.n_vectors)
    coded = coded[:, -sizes.shape[1] :].transpose(2, 1, 0)
    of_class = n_train / (split.n_classes * np.maximum(sizes, 1))
    of_rest = n_train / (2 * np.maximum(n_train - sizes, 1)) if is_binary else np.ones(sizes.shape)
    is_class = coded.reshape(-1, n_train) > 0
    costs = cost * np.where(is_class, of_class.reshape(-1, 1), of_rest.reshape(-1, 1))
    weights = svm_weights(train, np.where(is_class, 1.0, -1.0), costs)
    return np.asarray((test @ weights.T).reshape(len(test), split.n_vectors, -1))


def svm_weights(features: Floats, signs: Floats, costs: Floats) -> Floats:
    """Minimise ``w'w / 2 + sum(costs * max(0, 1 - signs * features w) ** 2)`` for many label vectors.

    Parameters
    ----------
    features : (n_items, n_features), with a column of ones for the offset.
    signs : (n_vectors, n_items) -1 or 1.
    costs : (n_vectors, n_items).

    Returns
    -------
    (n_vectors, n_features) weights.

    Notes
    -----
    Newton's steps, halved until the loss falls. The loss is strictly convex and made of quadratic pieces, so
    that they end at the optimum after a few.
    """
    weights = np.zeros((len(signs), features.shape[1]))
    moving = np.arange(len(signs))
    for _ in range(MOST_STEPS):
        sign, cost, now = signs[moving], costs[moving], weights[moving]
        margin = sign * (now @ features.T)
        active = np.where(margin < 1, cost, 0.0)
        gradient = now - 2 * (active * sign * (1 - margin)) @ features
        still = np.abs(gradient).max(axis=1) > _TOLERANCE * (1 + np.abs(now).max(axis=1))
        if not still.any():
            break
        moving, gradient = moving[still], gradient[still]
        step = np.linalg.solve(_hessians(features, active[still]), gradient[..., np.newaxis])[..., 0]
        lowered = _lowered(features, sign[still], cost[still], now[still], step, gradient)
        weights[moving] = lowered
    return weights


def _hessians(features: Floats, active: Floats) -> Floats:
    n_items, n_features = features.shape
    if n_features > n_items // 4:  # products of all pairs of features would take too much room
        found = np.stack([(features.T * row) @ features for row in active])
    else:
        products = (features[:, :, np.newaxis] * features[:, np.newaxis, :]).reshape(n_items, -1)
        found = (active @ products).reshape(-1, n_features, n_features)
    return np.asarray(np.eye(n_features) + 2 * found)


def _lowered(
    features: Floats, signs: Floats, costs: Floats, now: Floats, step: Floats, gradient: Floats
) -> Floats:
    """Return the weights after as much of the step as lowers the loss (Armijo's rule)."""

    def loss(weights: Floats) -> Floats:
        slack = np.maximum(0, 1 - signs * (weights @ features.T))
        return np.asarray((weights**2).sum(axis=1) / 2 + (costs * slack**2).sum(axis=1))

    before, slope = loss(now), (gradient * step).sum(axis=1)
    share = np.ones(len(now))
    while True:
        after = now - share[:, np.newaxis] * step
        worse = (loss(after) > before - _ARMIJO * share * slope) & (share > _LEAST_SHARE)
        if not worse.any():
            return np.asarray(after)
        share[worse] /= 2


def _with_ones(items: Floats) -> Floats:
    return np.concatenate([items, np.ones((len(items), 1))], axis=1)


def _rotated(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Return the items in the span of the training items, if it has fewer dimensions than features."""
    if train.shape[1] <= len(train):
        return train, test
    basis = np.linalg.qr(train.T)[0]  # weights outside of the span are 0
    return train @ basis, test @ basis


Prediction = Callable[[Floats, Floats, Split, float], Integers]
PREDICTIONS: dict[str, Prediction] = {DISCRIMINANT: discriminant_classes, SVM: svm_classes}


def balanced_accuracies(
    features: Floats,
    prepared: list[Split],
    classifier: str,
    strength: float,
    projections: list[Floats] | None = None,
) -> tuple[Floats, Integers]:
    """Predict every item by classifiers of the other folds.

    Parameters
    ----------
    features : (n_items, n_features).
    prepared : from `splits`.
    classifier : one of `PREDICTIONS`.
    strength : shrinkage or cost.
    projections : (n_items, n_items) of each fold, by which the features are multiplied; None for none.

    Returns
    -------
    accuracies : (n_vectors,) mean over classes of the share of their items that are predicted rightly.
    predicted : (n_items,) classes, by the first label vector.
    """
    predict = PREDICTIONS[classifier]
    accuracies = np.zeros(prepared[0].n_vectors)
    predicted = np.empty(len(features), dtype=np.int64)
    for number, split in enumerate(prepared):
        items = features if projections is None else projections[number] @ features
        found = predict(items[~split.test], items[split.test], split, strength)
        accuracies += ((found == split.labels) * split.shares).sum(axis=0)
        predicted[split.test] = found[:, 0]
    return accuracies, predicted
