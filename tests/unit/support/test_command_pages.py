"""What a page of commands is read as, and when its output counts as printed."""

from __future__ import annotations

import pytest
from command_pages import CommandPage, unprinted

PAGE = CommandPage(
    text="""
<!-- file: a.yaml -->
```yaml
a: 1
```
<!-- story: first -->
```bash
echo a
```
```text
a
```
Words.
<!-- story: second -->
```bash
echo b
```
```sh
echo nobody runs this
```
"""
)
JOBS = "NAME   PHASE     AGE\nr      Running   1m2s\n"


def test_files_and_blocks_are_found_by_their_names():
    assert PAGE.files == {"a.yaml": "a: 1\n"}
    assert {name: (block.commands, block.output) for name, block in PAGE.blocks.items()} == {
        "first": ("echo a\n", "a\n"),
        "second": ("echo b\n", ""),
    }


def test_a_block_without_a_name_is_counted():
    assert (PAGE.fences, len(PAGE.blocks)) == (3, 2)


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param("", id="nothing is shown"),
        pytest.param("NAME PHASE AGE\nr Running 18s\n", id="another age and other columns"),
        pytest.param("…\nr   …   5s\n", id="lines and parts are left out"),
    ],
)
def test_what_is_shown_is_printed(shown):
    assert unprinted(shown, JOBS) is None


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        pytest.param("r Queued 18s\n", "r Queued 18s", id="another word"),
        pytest.param("r Running\n", "r Running", id="a column is missing"),
        pytest.param("r Running 5s\nNAME PHASE AGE\n", "NAME PHASE AGE", id="another order"),
        pytest.param("…\n…\nq …\n", "q …", id="a line that is not there"),
    ],
)
def test_the_first_line_that_is_not_printed_is_named(shown, line):
    assert unprinted(shown, JOBS) == line
