"""Tools under `build`, with both engines unless it is said why not."""

from __future__ import annotations

import pytest

from tests.support.workshop import Workshop, needs

ENGINES = pytest.mark.parametrize("engine", ["hybrid", pytest.param("supervisor", marks=pytest.mark.slow)])

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
int add(int a, int b) { return a + b; }
int main(void) {
    int sum = add(20, 22);
    FILE *f = fopen("sum", "w");
    fprintf(f, "%d\n", sum);
    fclose(f);
    return 0;
}
"""


def test_gdb(workshop: Workshop) -> None:
    """Runs a program, stops in a function, shows where it is, calls one, goes on to the end."""
    needs("gdb", "cc")
    workshop.write("p.c", PROGRAM)
    done = workshop.run(
        """
cc -g -O0 -o p p.c
gdb -nx -batch -ex 'set disable-randomization on' -ex 'break add' -ex run -ex backtrace -ex 'print a' \\
    -ex 'print add(1, 2)' -ex finish -ex continue ./p 2>&1
cat sum
"""
    )
    assert done.status == 0, done.output
    for line in ("#0  add (a=20, b=22)", "in main () at p.c:", "$1 = 20", "exited normally"):
        assert line in done.output
    assert done.output.endswith("42\n")


def test_gdb_attaches(workshop: Workshop) -> None:
    """To a process of the session that is not its child."""
    needs("gdb", "cc")
    workshop.write("p.c", "#include <unistd.h>\nint main(void) { pause(); }\n")
    done = workshop.run("cc -g -o p p.c; ./p & gdb -nx -batch -p $! -ex backtrace 2>&1; kill $!")
    assert "main () at p.c:2" in done.output, done.output


def test_strace(workshop: Workshop) -> None:
    """Follows forks and shows calls, those that the supervisor answers too."""
    needs("strace")
    done = workshop.run("""
strace -f -o trace -e trace=%file,%process sh -c 'mkdir d; chmod 700 d; (: > d/f)
cat missing; true'; cat trace
""")
    assert done.status == 0, done.output
    for call in ('mkdir("d"', 'd/f", O_WRONLY|O_CREAT|O_TRUNC', "ENOENT", "+++ exited with 0 +++"):
        assert call in done.output
    assert done.events == []


@pytest.mark.parametrize("call", ["gdb", "strace"])
def test_tracers_need_the_ruleset(workshop: Workshop, call: str) -> None:
    """Without Landlock nothing would hold a tracer inside the session: the filter refuses ptrace."""
    needs(call)
    scripts = {"gdb": "gdb -nx -batch -ex run /bin/true 2>&1", "strace": "strace -o trace true 2>&1 || true"}
    script = scripts[call]
    done = workshop.run(script, engine="supervisor")
    assert "not permitted" in done.output, done.output


@ENGINES
def test_address_sanitizer(workshop: Workshop, engine: str) -> None:
    """A sanitizer's build finds an overflow."""
    needs("cc")
    workshop.write(
        "p.c",
        """
#include <stdlib.h>
int main(int c, char **v) {
    char *p = malloc(4);
    p[c + 3] = 1;
    free(p);
}
""",
    )
    done = workshop.run("cc -g -fsanitize=address,undefined -o p p.c; ./p 2>&1 || true", engine=engine)
    assert "heap-buffer-overflow" in done.output, done.output
    assert "/p.c:5" in done.output


def test_leak_sanitizer(workshop: Workshop) -> None:
    """Its tracer stops the threads of the process by ptrace."""
    needs("cc")
    workshop.write(
        "p.c",
        """
#include <stdlib.h>
int main(void) {
    char *volatile p = malloc(77);
    p = 0;
    return p != 0;
}
""",
    )
    done = workshop.run(
        "cc -g -fsanitize=address -o p p.c; ASAN_OPTIONS=detect_leaks=1 ./p 2>&1 || echo status $?"
    )
    assert "77 byte(s) leaked in 1 allocation(s)" in done.output, done.output
    assert done.output.endswith(("status 1\n", "status 23\n"))


@ENGINES
def test_git(workshop: Workshop, engine: str) -> None:
    """clone, commit, merge, gc, worktree, stash, submodule of a local repository."""
    needs("git")
    done = workshop.run(
        """
export GIT_AUTHOR_NAME=n GIT_AUTHOR_EMAIL=e GIT_COMMITTER_NAME=n GIT_COMMITTER_EMAIL=e
git init -q -b main r; cd r; echo a > a; git add a; git commit -qm one
git checkout -qb b; echo b >> a; git commit -qam two; git checkout -q main
git merge -q b; git gc -q --aggressive; git fsck --strict; echo c >> a; git stash -q
git stash pop -q; git worktree add -q ../w; cd ..; git clone -q r c
git clone -q --no-local r d; cd c; git commit -q --allow-empty -m three
git push -q origin HEAD:refs/heads/new; git -C ../r log --oneline new | wc -l
""",
        engine=engine,
    )
    assert (done.status, done.output.splitlines()[-1]) == (0, "3"), done.output
    assert done.events == []


@ENGINES
def test_gcc_pipe_and_make(workshop: Workshop, engine: str) -> None:
    """Gcc -pipe, -save-temps, -flto with a jobserver, ar, strip."""
    needs("gcc", "make")
    workshop.write("p.c", PROGRAM)
    workshop.write(
        "Makefile",
        "all: p\n%.o: %.c\n"
        "\tgcc -pipe -O2 -flto -c -o $@ $<\np: p.o\n\t+gcc -flto=jobserver -O2 -o $@ $^\n\tstrip $@\n",
    )
    done = workshop.run(
        "make -s -j2; ./p; cat sum; gcc -save-temps -c p.c; ar rcs l.a p.o; nm l.a | grep -c ' T '",
        engine=engine,
    )
    assert (done.status, done.output) == (0, "42\n2\n"), done.output
    assert done.events == []


@ENGINES
def test_cmake_and_ninja(workshop: Workshop, engine: str) -> None:
    """Configure, build, test, install."""
    needs("cmake", "ninja", "cc")
    workshop.write("s/p.c", PROGRAM)
    workshop.write(
        "s/CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.16)\nproject(p C)\n"
        "add_executable(p p.c)\nenable_testing()\nadd_test(NAME t COMMAND p)\n"
        "install(TARGETS p)\n",
    )
    done = workshop.run(
        """
cmake -S s -B b -G Ninja -DCMAKE_INSTALL_PREFIX=$PWD/out > log; cmake --build b >> log
(cd b && ctest) >> log; cmake --install b >> log; out/bin/p; cat sum
cmake --build b | tail -1
""",
        engine=engine,
    )
    assert (done.status, done.output) == (0, "42\nninja: no work to do.\n"), done.output
    assert done.events == []


@pytest.mark.slow
@ENGINES
def test_cargo(workshop: Workshop, engine: str) -> None:
    """A library with a build script and a test; registry and cache are in the work directory."""
    needs("cargo", "rustc", "cc")
    workshop.write(
        "Cargo.toml", '[package]\nname = "p"\nversion = "0.1.0"\nedition = "2021"\nbuild = "build.rs"\n'
    )
    workshop.write(
        "build.rs",
        'fn main() { std::fs::write(std::env::var("OUT_DIR").unwrap() + "/n.rs", "42").unwrap(); }\n',
    )
    workshop.write(
        "src/main.rs",
        """
const N: i32 = include!(concat!(env!("OUT_DIR"), "/n.rs"));
fn main() { println!("{}", N); }
#[test]
fn same() { assert_eq!(N, 42); }
""",
    )
    done = workshop.run(
        """
export CARGO_HOME=$PWD/.cargo; cargo run -q --offline
cargo test -q --offline | grep result
""",
        engine=engine,
    )
    assert done.status == 0, done.output
    assert done.output.startswith("42\ntest result: ok. 1 passed"), done.output


NODE = """
const fs = require("fs"), child = require("child_process");
const workers = require("worker_threads");
(async () => {
  fs.mkdirSync("d/e", {recursive: true});
  await fs.promises.writeFile("d/f", "text", {mode: 0o640});
  await Promise.all([...Array(50).keys()].map((n) => fs.promises.writeFile(`d/e/${n}`, String(n))));
  fs.symlinkSync("f", "d/l"); fs.linkSync("d/f", "d/h"); fs.renameSync("d/h", "d/g");
  fs.chmodSync("d/g", 0o600);
  fs.utimesSync("d/g", 1, 2); fs.copyFileSync("d/f", "d/copy"); fs.appendFileSync("d/copy", "!");
  fs.truncateSync("d/g", 2);
  fs.cpSync("d", "d2", {recursive: true}); await fs.promises.rm("d2", {recursive: true});
  const watcher = fs.watch("d");
  const seen = new Promise((done) => watcher.once("change", (_, name) => done(name)));
  fs.writeFileSync("d/seen", ""); console.log(await seen); watcher.close();
  console.log(child.execFileSync("sh", ["-c", "echo out; exit 0"]).toString().trim());
  const echo = child.spawn("cat"); echo.stdin.end("piped");
  for await (const data of echo.stdout) console.log(String(data));
  const fork = child.fork("./forked.js");
  console.log(await new Promise((done) => fork.once("message", done)));
  const text = "require('worker_threads').parentPort.postMessage('worker')";
  const worker = new workers.Worker(text, {eval: true});
  console.log(await new Promise((done) => worker.once("message", done)));
  console.log(fs.readdirSync("d").sort().join(), fs.readFileSync("d/copy", "utf8"),
    fs.statSync("d/g").mode.toString(8));
})();
"""


@ENGINES
def test_node(workshop: Workshop, engine: str) -> None:
    """File operations, watching, children with pipes and channels, workers."""
    needs("node")
    workshop.write("p.js", NODE)
    workshop.write("forked.js", "process.send('forked');\n")
    done = workshop.run("node p.js", engine=engine)
    assert done.status == 0, done.output
    assert done.output.splitlines() == [
        "seen",
        "out",
        "piped",
        "forked",
        "worker",
        "copy,e,f,g,l,seen text! 100600",
    ]


CONTROL = "Source: tiny\nMaintainer: n <e@example.org>\nBuild-Depends: debhelper-compat (= 13)\nStandards-Version: 4.6.2\n\nPackage: tiny\nArchitecture: any\nDescription: tiny\n Tiny.\n"  # noqa: E501
RULES = """#!/usr/bin/make -f
build build-arch build-indep:
\tcc -o p p.c
binary binary-arch binary-indep: build
\tmkdir -p debian/tiny/DEBIAN debian/tiny/usr/bin
\tcp p debian/tiny/usr/bin/
\tchown -R root:root debian/tiny
\tchown games debian/tiny/usr/bin/p && chmod 2755 debian/tiny/usr/bin/p
\tdpkg-gencontrol -Pdebian/tiny
\tdpkg-deb --build debian/tiny ..
clean:
\trm -rf p debian/tiny debian/files debian/*.substvars
.PHONY: build binary clean
"""


@pytest.mark.slow
@ENGINES
@pytest.mark.parametrize("way", ["sysv", "tcp"])
def test_dpkg_buildpackage(workshop: Workshop, engine: str, way: str) -> None:
    """With fakeroot, by message queues (its own way) and by TCP, which needs a network rule."""
    needs("dpkg-buildpackage", "fakeroot", "cc", "make")
    workshop.write("tiny/p.c", PROGRAM)
    for name, text in (
        ("control", CONTROL),
        ("rules", RULES),
        ("source/format", "3.0 (native)\n"),
        (
            "changelog",
            (
                "tiny (1) unstable; urgency=low\n\n  * One.\n\n"
                " -- n <e@example.org>  Mon, 01 Jan 2001 00:00:00 +0000\n"
            ),
        ),
    ):
        workshop.write(f"tiny/debian/{name}", text, 0o755 if name == "rules" else 0o644)
    options = ("--rule", "allow net any") if way == "tcp" else ()
    done = workshop.run(
        f"cd tiny; dpkg-buildpackage -us -uc -d -b -rfakeroot-{way} > ../log 2>&1 || "
        "{ cat ../log; exit 1; }; dpkg-deb -c ../tiny_*.deb | grep usr/bin/p",
        *options,
        engine=engine,
    )
    assert done.status == 0, done.output
    assert done.output.startswith("-rwxr-sr-x games/root"), done.output


TMUX = """
tmux -f /dev/null -S $TMPDIR/socket new-session -d -s s -x 80 -y 24 sh
tmux -S $TMPDIR/socket send-keys -t s 'echo $((40 + 2)) > sum
tmux wait-for -S done' Enter; tmux -S $TMPDIR/socket wait-for done
tmux -S $TMPDIR/socket capture-pane -p -t s | head -3; cat sum
tmux -S $TMPDIR/socket kill-server
"""


@ENGINES
def test_tmux(workshop: Workshop, engine: str) -> None:
    """A server with a session in its own terminal, and its clients, by a socket that it binds itself."""
    needs("tmux")
    done = workshop.run(TMUX, engine=engine)
    assert done.status == 0, done.output
    assert "echo $((40 + 2))" in done.output
    assert "\n42\n" in done.output


def test_tmux_without_a_network(workshop: Workshop) -> None:
    """Where no unix socket could be bound, none is made: refused at once, and told."""
    needs("tmux")
    done = workshop.run(TMUX, "--rule", "deny bind unix:/**")
    assert done.status
    assert {(event["access"], event["action"]) for event in done.events} == {("connect", "deny")}


@ENGINES
def test_more_of_what_builds_use(workshop: Workshop, engine: str) -> None:
    """Rsync of a tree, script(1) with a terminal, flock, mktemp, xz with threads."""
    needs("rsync", "script", "flock", "xz")
    done = workshop.run(
        """
mkdir -p a/b; seq 1000 > a/b/f; ln a/b/f a/g; rsync -aH a/ c/; [ c/g -ef c/b/f ]
script -qec 'tty | cut -c1-8; exit 3' /dev/null || echo $?; flock l true; t=$(mktemp)
echo x > $t; rm $t; tar -cf - a | xz -T2 | xz -d | tar -tf - | wc -l
sh -c 'echo $PPID > p'; [ $(cat p) = $$ ]
""",
        engine=engine,
    )
    assert (done.status, done.output.replace("\r", "")) == (0, "/dev/pts\n3\n4\n"), done.output
    assert done.events == []
