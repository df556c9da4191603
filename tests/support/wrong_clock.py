"""The clock of one process, which a test may set: `WrongClock`. Clocks that count from the boot go on as they do, as on a machine whose clock is set.

clock = WrongClock(tmp_path)
operator.environment |= clock.environment
operator.start()
clock.set(hours=-1)

It is a library that is loaded before all others, made with the C compiler. (libfaketime does the same, but `time.sleep` of Python fails in it.)
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

from required import skip_or_fail

if TYPE_CHECKING:
    from pathlib import Path

_LIBRARY = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long *ahead;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WRONG_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) abort();
    ahead = map;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (!result && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *ahead;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return result;
}

time_t time(time_t *result) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (result) *result = exact.tv_sec;
    return exact.tv_sec;
}
"""


class WrongClock:
    """By how much a clock is ahead of this machine's. It holds for all processes that run with `environment`."""

    def __init__(self, folder: Path, *, hours: float = 0.0) -> None:
        """folder: for the library and the file through which the clock is set."""
        compiler = shutil.which("cc")
        if compiler is None:
            skip_or_fail("there is no C compiler (cc)")
        source, library, file = (folder / f"wrong_clock{end}" for end in (".c", ".so", ""))
        source.write_text(_LIBRARY)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._ahead = mmap.mmap(opened.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(file)}
        self.set(hours=hours)

    def set(self, *, hours: float) -> None:
        """Set the clock to so many hours ahead of this machine's; behind it, if that is negative."""
        self._ahead[:] = struct.pack("=q", round(hours * 3600))
