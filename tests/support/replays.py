"""A loan's snapshot columns against a replay of the movements that stand."""

import orjson
from backend_api.db.pools import Connection
from backend_api.domain.account import Account, replay
from backend_api.domain.term_sheet import terms_of
from backend_api.ledger import service as ledger
from backend_api.ledger import state
from backend_api.loans.queries import standing_movements


async def replayed(owner: Connection, loan_id: object) -> Account:
    """The account of a disbursed loan, replayed; fails when its row says something else."""
    loan = await owner.fetchrow("SELECT * FROM loans WHERE id = $1", loan_id)
    assert loan is not None
    standing = ledger.standing(await standing_movements(owner, loan["id"]))
    terms = terms_of(orjson.loads(loan["terms"]), loan["disbursed_on"])
    account, splits = replay(terms, [booked.movement for booked in standing])
    assert splits == {booked.movement.id: booked.split for booked in standing}
    last = max(booked.movement.value_date for booked in standing)
    assert (loan["account_on"], loan["current_balance"]) == (last, account.principal)
    assert orjson.loads(loan["account"]) == orjson.loads(state.encode(state.compact(account, last)))
    return account
