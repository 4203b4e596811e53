"""Who is next: waiting items of several clients, taken in turns. Pure; knows costs, not what the items are.

A client has its turn after every other client that waits, and within a client so has every order. A large order thus
delays a small one of somebody else by what is already being computed, never by its own length.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items that wait, by client and order. Not safe for several threads: its owner has a lock."""

    def __init__(self) -> None:
        self._clients: OrderedDict[Hashable, OrderedDict[Hashable, deque[tuple[int, Item]]]] = OrderedDict()
        self._items = 0
        self._cost = 0

    def __len__(self) -> int:
        """How many items wait."""
        return self._items

    @property
    def cost(self) -> int:
        """What all waiting items cost together."""
        return self._cost

    def push(self, client: Hashable, order: Hashable, items: Iterable[tuple[int, Item]]) -> None:
        """Let the items of an order wait.

        Args:
            client: whose turn it is when they are taken.
            order: what they belong to; a key of its own for each.
            items: with the cost of each, in the order in which they are to be taken.
        """
        waiting = deque(items)
        if not waiting:
            return
        self._clients.setdefault(client, OrderedDict())[order] = waiting
        self._items += len(waiting)
        self._cost += sum(cost for cost, _ in waiting)

    def take(self, budget: int) -> list[Item]:
        """The next items: taken in turns until one does not fit the budget any more, at least one if any waits."""
        taken: list[Item] = []
        spent = 0
        while self._clients:
            client, orders = next(iter(self._clients.items()))
            order, items = next(iter(orders.items()))
            cost, item = items[0]
            if taken and spent + cost > budget:
                break
            items.popleft()
            taken.append(item)
            spent += cost
            orders.move_to_end(order)
            self._clients.move_to_end(client)
            if not items:
                self._forget(client, order)
        self._items -= len(taken)
        self._cost -= spent
        return taken

    def discard(self, client: Hashable, order: Hashable) -> int:
        """Drop what still waits of an order; returns how many items that was."""
        orders = self._clients.get(client)
        if orders is None or order not in orders:
            return 0
        items = orders[order]
        self._forget(client, order)
        self._items -= len(items)
        self._cost -= sum(cost for cost, _ in items)
        return len(items)

    def _forget(self, client: Hashable, order: Hashable) -> None:
        del self._clients[client][order]
        if not self._clients[client]:
            del self._clients[client]
