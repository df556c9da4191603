"""`docs/serving.md`: every command is run as the page has it, on a real server, and prints what the page shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_pages import CommandPage, Reader

PAGE = CommandPage(text=(Path(__file__).parents[3] / "docs/serving.md").read_text())
ADDRESS = "127.0.0.1:8080"


@pytest.fixture
def reader(server, tmp_path):
    page = CommandPage(text=PAGE.text.replace(ADDRESS, server.url.removeprefix("http://")))
    return Reader(page, tmp_path, os.environ)


@pytest.mark.parametrize("name", PAGE.blocks)
def test_the_commands_print_what_the_page_shows(reader, name):
    assert reader.page.blocks[name].output
    assert '"error": "there is no such page' not in reader.follow(name)


def test_every_block_of_commands_has_a_name():
    assert len(PAGE.blocks) == PAGE.fences
