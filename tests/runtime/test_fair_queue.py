"""Turns: never over the budget, nobody starves, an order keeps its order, and the sums are right."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from embedhub.runtime.fair_queue import FairQueue

Item = tuple[str, int, int]

# Orders as (client, costs of their items).
ORDERS = st.lists(st.tuples(st.sampled_from("abcd"), st.lists(st.integers(1, 30), min_size=1, max_size=8)), max_size=12)


def filled(orders: list[tuple[str, list[int]]]) -> tuple[FairQueue[Item], dict[Item, int]]:
    queue: FairQueue[Item] = FairQueue()
    costs: dict[Item, int] = {}
    for order, (client, sizes) in enumerate(orders):
        items = [(cost, (client, order, place)) for place, cost in enumerate(sizes)]
        queue.push(client, order, items)
        costs |= {item: cost for cost, item in items}
    return queue, costs


@given(ORDERS, st.integers(0, 60))
def test_a_pack_is_within_its_budget_unless_it_is_one_item(orders: list[tuple[str, list[int]]], budget: int) -> None:
    queue, costs = filled(orders)
    seen = []
    while len(queue):
        pack = queue.take(budget)
        assert pack, "something waits and nothing comes"
        assert len(pack) == 1 or sum(costs[item] for item in pack) <= budget
        seen += pack
        left = set(costs) - set(seen)
        assert len(queue) == len(left)
        assert queue.cost == sum(costs[item] for item in left)
    assert sorted(seen) == sorted(costs)
    assert queue.take(budget) == []


@given(ORDERS, st.integers(1, 60))
def test_an_order_keeps_its_order(orders: list[tuple[str, list[int]]], budget: int) -> None:
    queue, costs = filled(orders)
    places = defaultdict(list)
    for _ in costs:
        for _, order, place in queue.take(budget):
            places[order].append(place)
    assert all(found == sorted(found) for found in places.values())


@given(ORDERS)
def test_nobody_gets_a_second_turn_before_everybody_had_one(orders: list[tuple[str, list[int]]]) -> None:
    queue, costs = filled(orders)
    waiting: defaultdict[str, int] = defaultdict(int)
    for client, _, _ in costs:
        waiting[client] += 1
    passed: dict[str, int] = dict.fromkeys(waiting, 0)
    for _ in costs:
        ((client, _, _),) = queue.take(1)
        passed[client] = 0
        waiting[client] -= 1
        for other in passed:
            if other != client and waiting[other]:
                passed[other] += 1
                assert passed[other] <= len(passed)


def test_orders_of_one_client_have_turns_too() -> None:
    queue, _ = filled([("a", [1] * 100), ("a", [1])])
    assert ("a", 1, 0) in queue.take(2)


@given(ORDERS.filter(bool), st.data(), st.integers(1, 60))
def test_what_is_discarded_never_comes(orders: list[tuple[str, list[int]]], data: st.DataObject, budget: int) -> None:
    queue, costs = filled(orders)
    taken = queue.take(budget)
    number = data.draw(st.integers(0, len(orders) - 1))
    client = orders[number][0]
    waits = {item for item in costs if item[1] == number and item not in taken}
    assert queue.discard(client, number) == len(waits)
    assert queue.discard(client, number) == 0
    left = set(costs) - set(taken) - waits
    assert len(queue) == len(left)
    assert queue.cost == sum(costs[item] for item in left)
    assert set(queue.take(queue.cost + 1)) == left


def test_an_order_without_items_does_not_wait() -> None:
    queue: FairQueue[Item] = FairQueue()
    queue.push("a", 0, [])
    assert len(queue) == queue.cost == 0
    assert queue.take(10) == []
    assert queue.discard("nobody", 3) == 0
