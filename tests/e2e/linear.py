# SPDX-License-Identifier: Apache-2.0
"""Whether a recorded history of one alias is linearizable: whether there is an order of all calls,
each at a moment between its begin and its end, in which every answer is right. The search is that
of Wing and Gong with Lowe's memory of what was tried.

What an alias is: where it leads, which versions are gone, and for each version from where the alias
was last led to it by a promotion, which is where a rollback goes.
"""
import collections
import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class Call:
    begin: float
    end: float
    kind: str        # promote, rollback, delete, read
    version: int     # what was asked for, or None
    outcome: str     # done, backwards, gone, in-use, nothing, busy
    answer: tuple = ()  # (from, to) of a move, (version,) of a read


State = collections.namedtuple("State", "at gone origins")
START = State(0, frozenset(), ())


def step(state, call):
    """The state after the call if its answer is right in this one, else None."""
    origins = dict(state.origins)
    if call.outcome == "busy":
        return state  # somebody was in the way: nothing has happened, and that is all it says
    if call.kind == "read":
        return state if call.answer == (state.at,) else None
    if call.kind == "delete":
        if call.outcome == "in-use":
            return state if call.version == state.at else None
        if call.outcome == "gone":
            return state if call.version in state.gone else None
        if call.version in state.gone or call.version == state.at:
            return None
        return State(state.at, state.gone | {call.version}, state.origins)
    if call.kind == "promote":
        if call.outcome == "gone":
            return state if call.version in state.gone else None
        if call.outcome == "backwards":
            return state if call.version < state.at else None
        if call.version in state.gone or call.answer != (state.at, call.version):
            return None
        if call.version < state.at:
            return None
        if call.version == state.at:
            return state  # it leads there already
        origins[call.version] = state.at
        return State(call.version, state.gone, tuple(sorted(origins.items())))
    back = origins.get(state.at, 0)
    if call.outcome == "nothing":
        return state if back == 0 or back in state.gone else None
    if back == 0 or back in state.gone or call.answer != (state.at, back):
        return None
    return State(back, state.gone, state.origins)


def order_of(calls):
    """Calls in an order that explains all answers, or None."""
    calls = sorted(calls, key=lambda call: call.begin)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 2 * len(calls) + 1000))
    tried = set()

    def search(left, state):
        if not left:
            return []
        key = (left, state)
        if key in tried:
            return None
        first_end = min(calls[i].end for i in left)
        for at, i in enumerate(left):
            if calls[i].begin > first_end:
                break
            after = step(state, calls[i])
            if after is not None:
                rest = search(left[:at] + left[at + 1:], after)
                if rest is not None:
                    return [calls[i]] + rest
        tried.add(key)
        return None

    return search(tuple(range(len(calls))), START)
