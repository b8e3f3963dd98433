"""The objects of some collections as they are now, kept up to date by watches."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from sf.models import Problem
from sf.tools.kubernetes import ApiProblem, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Collection as Some
    from collections.abc import Mapping

    from sf.tools.kubernetes import Api, Collection, Listing, Watch

# HTTP status: what is asked for is too old to go on from.
_GONE: Final = 410
# Seconds between two attempts to reach an API server that is away.
_PAUSE: Final = 0.5
_CLOSING: Final = 2.0

Objects = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Listed:
    collection: Collection
    objects: Objects


@dataclass(frozen=True, slots=True)
class _Changed:
    collection: Collection
    name: str
    # None: it is gone.
    found: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Troubled:
    collection: Collection
    # None: all is well again.
    problem: BaseException | None


@dataclass(slots=True)
class _Place:
    """How far a thread is with its collection. Without a version it has to list anew."""

    collection: Collection
    version: str
    well: bool = True


class Watcher:
    """Threads follow the collections; what they find is taken over by whoever calls `wait`, in its own thread.

    ``trouble`` has the collections that cannot be followed now, and why. They are tried again until `close`.
    """

    def __init__(self, api: Api, collections: Some[Collection]) -> None:
        """List everything once. Raises `Problem` when that fails."""
        self._api = api
        self._found: dict[Collection, Objects] = {}
        self.trouble: dict[Collection, Problem] = {}
        # Of the queues, this one cannot be left locked by an exception out of a signal handler.
        self._news: SimpleQueue[_Listed | _Changed | _Troubled] = SimpleQueue()
        self._closing = threading.Event()
        self._watches: dict[Collection, Watch] = {}
        self._threads = []
        for collection in sorted(collections):
            listing = api.list(collection)
            self._found[collection] = _by_name(listing)
            thread = threading.Thread(
                target=self._follow, args=(collection, listing.version), name="watch", daemon=True
            )
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()

    def objects(self, collection: Collection) -> Mapping[str, dict[str, Any]]:
        """What is in `collection`, by name."""
        return self._found.get(collection, {})

    def wait(self, seconds: float) -> None:
        """Wait until something happens, at most so many seconds, and take over all that has."""
        try:
            self._take(self._news.get(timeout=max(seconds, 0)))
            while True:
                self._take(self._news.get_nowait())
        except Empty:
            return

    def close(self) -> None:
        """Follow nothing any more."""
        self._closing.set()
        for watch in list(self._watches.values()):
            watch.close()
        for thread in self._threads:
            thread.join(_CLOSING)

    def _take(self, news: _Listed | _Changed | _Troubled) -> None:
        match news:
            case _Listed():
                self._found[news.collection] = news.objects
            case _Changed(found=None):
                self._found[news.collection].pop(news.name, None)
            case _Changed(found=dict() as found):
                self._found[news.collection][news.name] = found
            case _Troubled(problem=None):
                self.trouble.pop(news.collection, None)
            case _Troubled(problem=Problem() as problem):
                self.trouble[news.collection] = problem
            case _Troubled(problem=BaseException() as bug):
                raise bug

    def _follow(self, collection: Collection, version: str) -> None:
        place = _Place(collection, version)
        while not self._closing.is_set():
            try:
                self._go_on(place)
            except Problem as problem:
                self._stumble(place, problem)
            except BaseException as bug:  # noqa: BLE001 - raised where the news are taken
                self._news.put(_Troubled(collection, bug))
                return

    def _go_on(self, place: _Place) -> None:
        """Follow the collection from where it was left until the API server ends the watch."""
        collection = place.collection
        if not place.version:
            listing = self._api.list(collection)
            self._news.put(_Listed(collection, _by_name(listing)))
            place.version = listing.version
        watch = self._watches[collection] = self._api.watch(collection, place.version)
        if self._closing.is_set():
            # Whoever closes has not seen it.
            watch.close()
        if not place.well:
            place.well = True
            self._news.put(_Troubled(collection, None))
        for kind, found in watch:
            place.version = str(found["metadata"]["resourceVersion"])
            if kind != "BOOKMARK":
                name = str(found["metadata"]["name"])
                self._news.put(_Changed(collection, name, None if kind == "DELETED" else found))

    def _stumble(self, place: _Place, problem: Problem) -> None:
        if isinstance(problem, ApiProblem) and problem.status == _GONE:
            place.version = ""
        elif isinstance(problem, NoAnswer) and place.well:
            # It broke off. Whether the API server is away shows when it is opened again.
            place.well = False
        else:
            place.well = False
            self._news.put(_Troubled(place.collection, problem))
            self._closing.wait(_PAUSE)


def _by_name(listing: Listing) -> Objects:
    return {str(item["metadata"]["name"]): item for item in listing.items}
