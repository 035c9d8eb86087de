# SPDX-License-Identifier: Apache-2.0
"""The part of see-red that sits inside pytest: breaks the program while a case's body runs.

What a case stands on (a trained model, a server, a home) is made by a program that is whole: a
mutant is woken when the case's own function begins and put to sleep when it ends, by the number
that every running program of the build folder reads from the file that it shares. So one run of a
file tries many mutants without a new server for each, and a case counts as red only where it fails
itself.

Without SEE_RED_TRIES, each case runs once and what it reaches is noted. With it, that file names
the mutants to try for each case, best first, and every case is run again until it is red. A case
that was red must pass again without the mutant, or else what is left of the server (or of the
clock, the disk ...) can't be trusted, and the run ends; see-red begins another.
"""
import json
import mmap
import os
import signal
import time

import pytest

WAIT_S = 20  # and twice as long as without a mutant


class TooLong(BaseException):
    """Not an Exception, which a test may expect."""


def too_long(_number, _frame):
    raise TooLong


class Cases:
    def __init__(self):
        with open(os.environ["SEE_RED_STATE"], "r+b") as file:
            self.state = mmap.mmap(file.fileno(), 0)
        self.most = len(self.state) - 4
        tries = os.environ.get("SEE_RED_TRIES")
        self.told = open(os.environ["SEE_RED_TOLD"], "w", buffering=1, encoding="utf-8")
        self.limit, self.todo, self.took_s = 0, None, {}
        if tries is not None:
            with open(tries, encoding="utf-8") as file:
                tries = json.load(file)
            self.limit, self.todo, self.took_s = tries["limit"], tries["todo"], tries["took_s"]
        self.red, self.suspect, self.is_fresh = set(), {}, True

    def tell(self, **what):
        self.told.write(json.dumps(what) + "\n")

    def wake(self, number):
        self.state[self.most:] = number.to_bytes(4, "little")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        if self.todo is not None:
            items[:] = [again(item) for item in items if self.todo.get(item.nodeid)
                        for _ in range(self.limit + 1)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item):
        """True, so that nothing is run, for a case that is done with."""
        if self.todo is None or item.nodeid in self.suspect or \
                (item.nodeid not in self.red and self.todo[item.nodeid]):
            return None
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        return (yield from (self.note(item) if self.todo is None else self.attempt(item)))

    def note(self, item):
        self.state[:self.most] = bytes(self.most)
        begin = time.monotonic()
        try:
            result = yield
        except pytest.skip.Exception:
            raise
        except Exception:
            self.tell(case=item.nodeid)
            raise
        took_s = time.monotonic() - begin
        reached = [n for n, byte in enumerate(self.state[:self.most]) if byte]
        self.tell(case=item.nodeid, took_s=took_s, reached=reached)
        return result

    def attempt(self, item):
        case = item.nodeid
        is_proof = case in self.suspect  # that it passes again
        number = 0 if is_proof else self.todo[case].pop(0)
        signal.signal(signal.SIGALRM, too_long)
        signal.setitimer(signal.ITIMER_REAL, WAIT_S + 2 * self.took_s[case], WAIT_S)
        self.wake(number)
        has_failed, is_fresh, self.is_fresh = True, self.is_fresh, False
        try:
            result = yield
            has_failed = False
            return result
        except pytest.skip.Exception:
            has_failed = False
            raise
        finally:
            self.wake(0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.judge(case, number, has_failed, is_fresh)

    def judge(self, case, number, has_failed, is_fresh):
        if case in self.suspect:
            if has_failed:
                self.tell(case=case, unsure=self.suspect[case])
                pytest.exit("what a mutant left behind is broken")
            self.is_red(case, self.suspect.pop(case))
        elif not has_failed:
            self.tell(case=case, passed=number)
        elif is_fresh:
            self.is_red(case, number)
            self.suspect[case] = number
        else:
            self.suspect[case] = number

    def is_red(self, case, number):
        """The others that reach it try it next."""
        if case not in self.red:
            self.red.add(case)
            self.tell(case=case, red=number)
        for numbers in self.todo.values():
            if number in numbers:
                numbers.remove(number)
                numbers.insert(0, number)


def again(item):
    return type(item).from_parent(
        item.parent, name=item.name, callspec=getattr(item, "callspec", None), callobj=item.obj,
        fixtureinfo=item._fixtureinfo, originalname=item.originalname)


def pytest_configure(config):
    config.pluginmanager.register(Cases())
