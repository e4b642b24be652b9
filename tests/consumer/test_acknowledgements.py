"""One frame for a run of deliveries, and never one over an open delivery."""

from event_consumer.handler import Acknowledgements, backoff
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.permutations(range(1, n + 1)), st.data())))
def test_exactly_the_settled_deliveries_are_acknowledged(case: tuple[list[int], st.DataObject]) -> None:
    tags, data = case
    open_at_broker = set(tags)
    settled: set[int] = set()
    acknowledgements = Acknowledgements()
    while tags:
        size = data.draw(st.integers(1, len(tags)))
        batch, tags = tags[:size], tags[size:]
        settled.update(batch)
        for tag, multiple in acknowledgements.settle(batch):
            assert tag in open_at_broker  # the broker closes the channel for a tag it does not know
            open_at_broker -= {other for other in open_at_broker if other <= tag} if multiple else {tag}
        assert open_at_broker == set(range(1, max(settled | open_at_broker) + 1)) - settled


def test_a_run_takes_one_frame() -> None:
    acknowledgements = Acknowledgements()
    assert acknowledgements.settle([2, 3]) == [(2, False), (3, False)]
    assert acknowledgements.settle([1, 4, 6]) == [(4, True), (6, False)]
    assert acknowledgements.settle([5]) == [(5, True)]
    assert acknowledgements.settle([]) == []


def test_waiting_grows_to_two_seconds_and_no_further() -> None:
    for tries, longest in ((0, 0.1), (1, 0.2), (4, 1.6), (5, 2.0), (100_000, 2.0)):
        assert all(longest / 2 <= backoff(tries) <= longest for _ in range(50))
