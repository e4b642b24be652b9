"""What a reversal, or a movement dated back, changes in the rows that were booked after it.

A booked row is never edited. The movements that stand are replayed without the reversed one, or with the late one; a
row whose split comes out different is undone by a contra row and booked anew, one whose split is the same is kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from backend_api.domain.account import Account, Movement, Split, replay
from backend_api.domain.terms import Terms


@dataclass(frozen=True, slots=True)
class Booked:
    """A movement as it is booked: the row that stands for it, and how it was split."""

    row_id: UUID
    movement: Movement
    split: Split


@dataclass(frozen=True, slots=True)
class Correction:
    """The account after a correction, the rows to undo, and what is to be booked: the new movement and changed ones.

    `undone` comes in the order in which the rows were handed over, `booked` in that of the movements.
    """

    account: Account
    undone: tuple[Booked, ...]
    booked: tuple[tuple[Movement, Split], ...]


def add(terms: Terms, standing: Iterable[Booked], movement: Movement) -> Correction:
    """Book a movement among those that stand, wherever its value date puts it.

    Raises MovementRefused when it, or a later one because of it, would take more than there is.
    """
    standing = list(standing)
    return _replayed(terms, standing, [*(booked.movement for booked in standing), movement], movement.id)


def remove(terms: Terms, standing: Iterable[Booked], movement_id: UUID) -> Correction:
    """Take a movement back. Raises MovementRefused when a later one cannot stand without it."""
    standing = list(standing)
    return _replayed(terms, standing, [one.movement for one in standing if one.movement.id != movement_id], None)


def _replayed(terms: Terms, standing: list[Booked], movements: list[Movement], added: UUID | None) -> Correction:
    account, splits = replay(terms, movements)
    undone = tuple(booked for booked in standing if splits.get(booked.movement.id) != booked.split)
    again = {booked.movement.id for booked in undone} | {added}
    by_id = {movement.id: movement for movement in movements}
    return Correction(account, undone, tuple((by_id[one], split) for one, split in splits.items() if one in again))
