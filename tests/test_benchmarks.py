"""The benchmarks measure what they say: in turn, alike in every way, and nothing that did not happen."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from benchmarks import bounds, daemon, filters, operations, startup, table
from benchmarks.measure import NATIVE, Cell, Grid, RunError, User, in_turn, run
from benchmarks.peers import FLOOR, SYDD, Way, every_way
from benchmarks.place import Place
from benchmarks.sources import source_lists


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Directories of a run, on disk, as whoever runs the tests."""
    made = Place.make(str(tmp_path_factory.mktemp("cache")), None, on_disk=True)
    yield made
    made.remove()


def way(place: Place, name: str) -> Way:
    """One of the ways, which has to be there."""
    (found,) = (way for way in every_way(place)[0] if way.name == name)
    return found


def test_ways_take_turns() -> None:
    """A B A B, not A A B B."""
    order: list[str] = []

    def measure(name: str) -> dict[str, float]:
        order.append(name)
        return {"column": len(order)}

    cells = in_turn(["a", "b"], measure, 2, lambda text: None)
    assert order == ["a", "b", "a", "b"]
    assert cells == {"a": {"column": Cell((1, 3))}, "b": {"column": Cell((2, 4))}}


def test_a_way_that_fails_is_left_out() -> None:
    """It is not tried again, and its failure is in the table instead of a number."""
    tried: list[str] = []

    def measure(name: str) -> dict[str, float]:
        tried.append(name)
        if name == "bad":
            raise RunError("status 1: no such thing")
        return {"column": 2.0}

    grid = Grid("Title", "s", ["column"], in_turn([NATIVE, "bad"], measure, 3, lambda text: None))
    assert tried.count("bad") == 1
    assert "| bad | – |" in table.markdown(grid)
    assert "Failed: bad: status 1: no such thing." in table.markdown(grid)
    assert grid.ratio("bad", "column") is None


def test_table_and_json_agree() -> None:
    """The median and the ratio of the table are those of the JSON."""
    cells = {NATIVE: {"c": Cell((1.0, 3.0, 2.0))}, "sydd": {"c": Cell((5.0, 4.0, 3.0))}}
    grid = Grid("Title", "s", ["c"], cells, {"proot": "proot is not installed"})
    assert "| sydd | 4.00, **2.00**, 3.00–5.00 |" in table.markdown(grid)
    assert "Not measured: proot (proot is not installed)." in table.markdown(grid)
    written = json.loads(json.dumps(table.as_json(grid)))["ways"]["sydd"]["c"]
    assert (written["median"], written["ratio"], written["samples"]) == (4.0, 2.0, [5.0, 4.0, 3.0])


def test_bounds_compare_with_what_they_name() -> None:
    """A bound to the C supervisor is no bound to native, and a bound that is broken says so."""
    cells = {
        NATIVE: {"open_write": Cell((2.0,)), "open_read": Cell((2.0,))},
        FLOOR: {"open_write": Cell((10.0,)), "open_read": Cell((2.0,))},
        SYDD: {"open_write": Cell((20.0,)), "open_read": Cell((6.0,))},
    }
    text = bounds.markdown([Grid("Title", "ns", ["open_write", "open_read"], cells)])
    assert "| 2.5 | 2.00 | yes |" in text
    assert "| 1.5 | 3.00 | **no** |" in text


def test_a_command_that_fails_says_how(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The status and the last line of what it said are in the error; a hanging one is killed."""
    directory = str(tmp_path_factory.mktemp("work"))
    user = User.named(None, directory)
    with pytest.raises(RunError, match="status 3: second"):
        run(["sh", "-c", "echo first >&2; echo second >&2; exit 3"], user, directory)
    with pytest.raises(RunError, match="took more than 0 s"):
        run(["sh", "-c", "cat <>/dev/zero >/dev/null"], user, directory, seconds=0.1)


def test_sources_come_from_where_packages_come_from() -> None:
    """Both formats of APT's lists become lists of sources, options and comments kept."""
    old = "# comment\ndeb [signed-by=/k.gpg] http://mirror/debian stable main\n"
    assert source_lists(old, deb822=False) == old.replace("deb [", "deb-src [")
    new = "Types: deb\nURIs: http://mirror/debian\nSuites: stable\nComponents: main\n"
    assert source_lists(new, deb822=True) == new.replace("Types: deb", "Types: deb-src")


@pytest.mark.parametrize("name", ["Landlock only", FLOOR])
def test_helpers_refuse_and_allow(place: Place, name: str) -> None:
    """Inside the work directory everything goes, outside nothing; the status is the command's."""
    work = place.work(place.user)
    script = 'echo x >inside && mkdir d && mv inside d/ && rm -r d && { echo x 2>/dev/null >"$1" || exit 7; }'
    command = way(place, name).wrap(["sh", "-c", script, "sh", place.refused], work)
    result = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=50, check=False)
    assert (result.stdout, result.returncode) == ("", 7), result.stderr
    assert os.path.getsize(place.refused) > 2


def test_the_floor_ends_with_its_command(place: Place) -> None:
    """A killed command gives 128 and the signal, a missing one 127."""
    work = place.work(place.user)
    wrap = way(place, FLOOR).wrap
    killed = subprocess.run(wrap(["sh", "-c", "kill -TERM $$"], work), cwd=work, timeout=50, check=False)
    assert killed.returncode == 128 + 15
    missing = subprocess.run(
        wrap(["/no/such/program"], work), cwd=work, capture_output=True, timeout=50, check=False
    )
    assert missing.returncode == 127


@pytest.mark.slow
def test_operations_native_and_refused(place: Place) -> None:
    """Every operation has a number; a refusal has none where nothing was refused."""
    ways = [way(place, NATIVE), way(place, FLOOR)]
    grid = operations.measure(ways, place, 1, 100, lambda text: None)
    assert set(grid.cells[NATIVE]) == set(operations.COLUMNS) - {"open_refused"}
    assert set(grid.cells[FLOOR]) == set(operations.COLUMNS)
    assert all(cell.median > 0 for cells in grid.cells.values() for cell in cells.values())


@pytest.mark.slow
def test_memory_is_that_of_the_supervisor(place: Place) -> None:
    """The command's own shell is not counted: nothing stands around a native one."""
    ways = [way(place, NATIVE), way(place, FLOOR)]
    grid = startup.measure_memory(ways, place, 1, lambda text: None)
    assert grid.cells[NATIVE] == {}
    assert 0.1 < grid.cells[FLOOR]["largest process"].median < 20


@pytest.mark.slow
def test_filters_take_part_in_every_call(place: Place) -> None:
    """Each has numbers for all operations, and none is refused what it measures."""
    grid = filters.measure(place, 2, 100, lambda text: None)
    assert list(grid.cells) == [NATIVE, filters.ALL, filters.LOOKS, SYDD]
    for cells in grid.cells.values():
        assert list(cells) == filters.COLUMNS
        assert all(len(cell.samples) == 2 and min(cell.samples) > 10 for cell in cells.values())


@pytest.mark.slow
def test_the_daemon_in_every_way(place: Place) -> None:
    """Starts and calls have a number in each way; memory has for the two that the daemon has sessions of."""
    starts, calls, memory = daemon.measure(place, 1, 100, lambda text: None)
    for way_ in (daemon.EMBEDDED, daemon.LAUNCHED):
        assert 5 < starts.cells[way_]["over"].median < 5000
    run_ = starts.cells[daemon.STARTED]
    assert 0 < run_["begun"].median < run_["ended"].median < run_["over"].median < 5000
    assert all(set(calls.cells[way_]) == set(operations.COLUMNS) for way_ in daemon.OPTIONS)
    if os.geteuid() == 0:
        assert 1 < memory.cells[daemon.LAUNCHED]["of a session"].median < 30
        assert 0 < memory.cells[daemon.STARTED]["keeper"].median < 20
