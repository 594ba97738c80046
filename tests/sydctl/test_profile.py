"""`sydctl profile`: list, show, check."""

from __future__ import annotations

import json
import os

import pytest

from tests.sydctl.conftest import Sydctl

SHIPPED = ["build", "credentials", "devices", "offline", "permissive", "readonly"]


def test_list(sydctl: Sydctl) -> None:
    """The shipped ones; the user's own before those of the same name."""
    sydctl.write(".config/sydd/profiles/build.toml", 'extends = "build"\ndescription = "mine"\n')
    found = json.loads(sydctl("profile", "list", "--json").stdout)
    assert [item["name"] for item in found] == SHIPPED
    assert {item["name"]: item["origin"] for item in found}["build"] == "user"
    text = sydctl("profile", "list").stdout.splitlines()
    assert len(text) == len(SHIPPED)
    assert text[0].split() == ["build", "user", "mine"]


@pytest.mark.parametrize("name", SHIPPED)
def test_show_and_check_the_shipped(sydctl: Sydctl, name: str) -> None:
    """Each can be shown and has nothing that the linter would say."""
    shown = sydctl("profile", "show", name)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"name:         {name}\n")
    checked = sydctl("profile", "check", "--strict", name)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, f"{name}: ok\n", "")


def test_show_merged(sydctl: Sydctl) -> None:
    """Rules in the order that decides, each with its place; the last word on everything else."""
    sydctl.write(
        "work/p.toml",
        'extends = "build"\numask = "027"\nrules = ["allow write ${out}/**"]\n'
        '[variables]\nout = "${home}/o"\n[limits]\ncore = "1M"\n',
    )
    shown = json.loads(sydctl("profile", "show", "./p.toml", "--json").stdout)
    assert (shown["name"], shown["umask"], shown["variables"]) == ("p", "027", {"out": "${home}/o"})
    assert shown["limits"] == {"core": [1 << 20, 1 << 20]}
    assert [source.rpartition("/")[2] for source in shown["sources"]] == [
        "credentials.toml",
        "devices.toml",
        "build.toml",
        "p.toml",
    ]
    assert shown["rules"][-1] == {
        "action": "allow",
        "access": "write",
        "pattern": "${out}/**",
        "text": "allow write ${out}/**",
        "source": "p.toml:3:11",
    }
    text = sydctl("profile", "show", "./p.toml").stdout
    assert "allow write ${out}/**" in text
    assert "# p.toml:3:11" in text
    assert "umask: 027" in text


def test_check_warns(sydctl: Sydctl) -> None:
    """What is no error and hardly meant is a warning: status 0, with --strict 1."""
    sydctl.write(
        "work/p.toml",
        'rules = [\n  "allow write /nowhere-at-all/**",\n'
        '  "deny write /srv/x",\n  "allow write /srv/**",\n]\n',
    )
    result = sydctl("profile", "check", "./p.toml")
    assert (result.returncode, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first.startswith("p.toml:2:16: warning: '/nowhere-at-all' does not exist")
    assert second.startswith("p.toml:3:4: warning: the rule is shadowed by that in line 4")
    assert sydctl("profile", "check", "--strict", "./p.toml").returncode == 1


def test_check_several(sydctl: Sydctl) -> None:
    """Each is checked, whatever is wrong with another; one error makes the status 1."""
    sydctl.write("work/bad.toml", "rulez = []\n")
    result = sydctl("profile", "check", "./bad.toml", "build", "nosuch")
    assert (result.returncode, result.stderr) == (1, "")
    bad, good, missing = result.stdout.splitlines()
    assert bad == "bad.toml:1:1: error: unknown key 'rulez' (did you mean 'rules'?)"
    assert good == "build: ok"
    assert missing.startswith("error: no profile 'nosuch'")


def test_check_with_set(sydctl: Sydctl) -> None:
    """A variable that only the command line can give."""
    sydctl.write("work/p.toml", 'rules = ["allow write ${out}/**"]\n')
    assert sydctl("profile", "check", "./p.toml").returncode == 1
    assert sydctl("profile", "check", "./p.toml", "--set", f"out={sydctl.home}").returncode == 0


def test_show_what_is_wrong(sydctl: Sydctl) -> None:
    """One line, status 1."""
    result = sydctl("profile", "show", "nosuch")
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)


def test_names_cannot_drive_the_terminal(sydctl: Sydctl) -> None:
    """A profile's file name and description are somebody's text."""
    sydctl.write(".config/sydd/profiles/a\x1b[31m.toml", 'description = "\\u001b[31mred"\n')
    assert "\x1b" not in sydctl("profile", "list").stdout
    assert "\x1b" not in sydctl("profile", "show", "a\x1b[31m").stdout


def test_directories_that_are_closed(sydctl: Sydctl) -> None:
    """One line, whether a path or a name would lead there."""
    sydctl.write("closed/sydd/profiles/build.toml", 'description = "not to be seen"\n')
    closed = os.path.join(sydctl.home, "closed")
    os.chmod(closed, 0)
    try:
        path = f"{closed}/sydd/profiles/build.toml"
        shown = sydctl("profile", "show", path)
        hint = "a directory on the way to it is closed to you"
        said = f"sydctl: cannot look for a profile at '{path}': Permission denied ({hint})\n"
        assert (shown.returncode, shown.stderr) == (1, said)
        shown = sydctl("profile", "show", "build", env={"XDG_CONFIG_HOME": closed})
        assert shown.stdout.startswith("name:         build\n")
    finally:
        os.chmod(closed, 0o700)
