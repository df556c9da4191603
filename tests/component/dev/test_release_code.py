"""Stories ask for the code of a release from several threads at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import release_code

THREADS = 4


@pytest.mark.parametrize("release", release_code.RELEASES)
def test_threads_that_ask_at_once_share_one_folder_that_is_whole(release):
    release_code._unpacked.cache_clear()
    unpacked_before, together = len(release_code._FOLDERS), Barrier(THREADS)

    def ask(_):
        together.wait()
        return (release_code.code_of(release) / "operator" / "tuneloop_operator" / "__main__.py").exists()

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(ask, range(THREADS))) == [True] * THREADS
    assert len(release_code._FOLDERS) == unpacked_before + 1
