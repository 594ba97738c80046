"""A 32-bit program is compiled, and does what programs do, under `build` as natively."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from tests.builds.conftest import Builder, snapshot
from tests.support.compiler import needs

pytestmark = [pytest.mark.timeout(120)]

PROGRAM = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define SAY(call) printf(#call ": %lld\n", (long long)(call))

static void *thread(void *name)
{
    FILE *file = fopen(name, "w");
    fputs("by a thread\n", file);
    return fclose(file), NULL;
}

int main(void)
{
    struct stat64 about;
    struct timeval times[2] = {{1000000000, 5}, {1111111111, 6}};
    pthread_t other;
    int fd = open("made", O_CREAT | O_EXCL | O_RDWR, 0666);
    SAY(8 * sizeof(void *));
    SAY(write(fd, "content\n", 8));
    SAY(open("made", O_CREAT | O_EXCL | O_RDWR, 0666) < 0 ? errno : 0);
    SAY(stat64("made", &about));
    SAY(about.st_size);
    SAY(mkdir("d", 0777));
    SAY(rename("made", "d/made"));
    SAY(symlink("d/made", "l"));
    SAY(truncate64("d/made", 5000000000LL));
    SAY(open("l", O_RDONLY) < 0 ? errno : 0);
    SAY(open64("l", O_WRONLY));
    SAY(truncate("l", 7));
    SAY(chmod("l", 0640));
    SAY(lchown("l", -1, -1));
    SAY(utimes("l", times));
    SAY(stat64("l", &about));
    SAY(about.st_size);
    SAY(about.st_mode);
    SAY(about.st_mtime);
    DIR *directory = opendir("d");
    for (struct dirent64 *entry; (entry = readdir64(directory));)
        if (entry->d_name[0] != '.')
            puts(entry->d_name);
    pthread_create(&other, NULL, thread, "threaded");
    pthread_join(other, NULL);
    SAY(system("uname -m > machine"));
    return 0;
}
"""

MAKE = "cc -m32 -w -o program program.c -pthread && ./program > told"


def archive(directory: str, text: str) -> str:
    """A source archive with one program."""
    path = os.path.join(directory, "source.tar")
    with tarfile.open(path, "w") as made:
        entry = tarfile.TarInfo("source/program.c")
        entry.size = len(text.encode())
        made.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_a_32_bit_program(builder: Builder) -> None:
    """Opens, looks, writes, large files, times, threads, a 64-bit child: the same, and no event."""
    needs("i386")
    source = archive(builder.home, PROGRAM)
    builder.unpack(source)
    builder.natively(MAKE)
    native = snapshot(builder.work)
    with open(f"{builder.work}/told", encoding="ascii") as file:
        told = file.read().splitlines()
    assert told[0] == "8 * sizeof(void *): 32"
    assert 'open("l", O_RDONLY) < 0 ? errno : 0: 75' in told  # EOVERFLOW
    assert "about.st_mtime: 1111111111" in told
    builder.unpack(source)
    done, events = builder.confined(MAKE)
    assert (done.returncode, done.stderr, events) == (0, "", [])
    assert snapshot(builder.work) == native
    builder.assert_untouched()


PLANTED = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    char path[4096], text[64] = "";
    strcat(strcpy(path, getenv("HOME")), "/.ssh/id_ed25519");
    int fd = open(path, O_RDONLY);
    FILE *stolen = fopen("stolen", "w");
    if (fd >= 0 && read(fd, text, sizeof text) > 0)
        fwrite(text, 1, sizeof text, stolen);
    strcat(strcpy(path, getenv("HOME")), "/x");
    return unlink(path) ? 7 : 0;
}
"""


def test_a_32_bit_program_that_steals(builder: Builder) -> None:
    """What it may not have is denied and told as to any other program."""
    needs("i386")
    builder.unpack(archive(builder.home, PLANTED))
    done, events = builder.confined("cc -m32 -w -o program program.c; ./program")
    assert done.returncode == 7
    told = {(event["access"], event["path"], event["errno"]) for event in events}
    assert told == {
        ("read", f"{builder.home}/.ssh/id_ed25519", "EACCES"),
        ("delete", f"{builder.home}/x", "EACCES"),
    }
    builder.assert_untouched()
