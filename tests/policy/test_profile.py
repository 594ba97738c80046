"""Profiles: what is wrong with bad ones, what good ones come to, and those that are shipped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sydd.policy.access import Access, Action
from sydd.policy.bind import bind_rules
from sydd.policy.errors import PolicyError
from sydd.policy.lint import findings
from sydd.policy.matcher import Matcher
from sydd.policy.netsettings import NetSettings
from sydd.policy.policy import Mode, Policy
from sydd.policy.profile import parse_profile, to_policy
from sydd.policy.quantities import UNLIMITED
from sydd.policy.restrict import CHOICES, Restrict
from sydd.policy.variables import resolve
from sydd.profiles import store
from sydd.profiles.store import Read, available, load, unchanged

BAD = Path(__file__).parent / "bad"
SHIPPED = ("build", "credentials", "devices", "offline", "permissive", "readonly")
HOME = "/home/me"
VALUES = {"cwd": "/home/me/src", "home": HOME, "tmp": "/tmp/s-1", "user": "me"}


@pytest.fixture(autouse=True)
def _only_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No profile of this machine is found."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(store, "SYSTEM", tmp_path / "etc")


@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.toml")))
def test_bad_profile(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake gives one error: the text beside the profile."""
    monkeypatch.chdir(BAD)
    with pytest.raises(PolicyError) as caught:
        load(f"./{name}.toml", {})
    assert str(caught.value).replace(f"{BAD}/", "") + "\n" == (BAD / f"{name}.txt").read_text()


def test_there_are_enough_bad_profiles() -> None:
    """Every bad profile has its text, and every text its profile."""
    profiles = {path.stem for path in BAD.glob("*.toml")}
    assert profiles == {path.stem for path in BAD.glob("*.txt")}
    assert len(profiles) >= 20


FULL = r'''
name = "full"
description = "Everything that a profile can say"
mode = "audit"
umask = "027"
rules = [
    "allow write ${out}/**",
    """deny \
       read "/x\\*" """,
]
[variables]
out = "${cwd}/out"
[environment]
pass = ["CI_*"]
drop = ["*_TOKEN", "CI*"]
set = { OUT = "${out}", HOME = "${home}" }
[limits]
core = 0
as = "2G"
stack = ["8M", "unlimited"]
nofile = [1024, 4096]
cpu = "unlimited"
[descriptors]
keep = [7, 3]
[restrict]
ptrace = "deny"
ipc = "allow"
'''


def test_every_key() -> None:
    """What a profile says is in the policy."""
    policy = to_policy([parse_profile(FULL, "full.toml")], {})
    assert (policy.name, policy.description) == ("full", "Everything that a profile can say")
    assert (policy.mode, policy.umask, policy.keep_descriptors) == (Mode.AUDIT, 0o027, (3, 7))
    assert policy.restrict == Restrict(ptrace="deny", ipc="allow")
    assert [str(rule) for rule in policy.rules] == ["allow write ${out}/**", "deny read /x\\*"]
    assert [str(rule.source) for rule in policy.rules] == ["full.toml:7:6", "full.toml:8:8"]
    assert str(policy.rules[1].pattern_source) == "full.toml:9:14"
    assert policy.limits == (
        ("as", 2 << 30, 2 << 30),
        ("core", 0, 0),
        ("cpu", UNLIMITED, UNLIMITED),
        ("nofile", 1024, 4096),
        ("stack", 8 << 20, UNLIMITED),
    )
    assert policy.sources == ("full.toml",)


CEILING = """
[limits]
runtime = ["allow write ${cwd}/**", 'allow connect "10.0.0.0/8!80"']
ask_timeout = 5
"""


def test_a_ceiling() -> None:
    """Rules with their places, beside the resource limits."""
    limits = to_policy([parse_profile(CEILING + "core = 0", "c.toml")], {}).session_limits
    assert [str(rule) for rule in limits.ceiling] == ["allow write ${cwd}/**", "allow connect 10.0.0.0/8!80"]
    assert [str(rule.source) for rule in limits.ceiling] == ["c.toml:3:13", "c.toml:3:38"]
    assert limits.patience == 5


def test_a_ceiling_is_replaced() -> None:
    """By that of a child, which may be empty; a child that says nothing keeps it."""
    parent = parse_profile(CEILING, "parent.toml")
    for text, expected in (
        ("", ["allow write ${cwd}/**", "allow connect 10.0.0.0/8!80"]),
        ("[limits]\nask_timeout = 7", ["allow write ${cwd}/**", "allow connect 10.0.0.0/8!80"]),
        ('[limits]\nruntime = ["allow read /x"]', ["allow read /x"]),
        ("[limits]\nruntime = []", []),
    ):
        limits = to_policy([parent, parse_profile(text, "child.toml")], {}).session_limits
        assert [str(rule) for rule in limits.ceiling] == expected
        assert limits.patience == (7 if "7" in text else 5)
    assert to_policy([parse_profile("", "p.toml")], {}).session_limits.patience == 60


def test_variables_of_a_ceiling() -> None:
    """Are checked as those of rules are, and are a use of `--set`."""
    ceiling = '[limits]\nruntime = ["allow write ${out}/**"]'
    with pytest.raises(PolicyError, match=r"p.toml:2:25: unknown variable"):
        to_policy([parse_profile(ceiling, "p.toml")], {})
    assert to_policy([parse_profile(ceiling, "p.toml")], {"out": "/x"}).session_limits.ceiling


def test_environment() -> None:
    """What is dropped is gone but for what is passed, and what is set is set."""
    policy = to_policy([parse_profile(FULL, "full.toml")], {})
    values = resolve(policy.variables, VALUES, {})
    outside = {"PATH": "/bin", "MY_TOKEN": "s", "CI": "1", "CI_JOB": "2", "HOME": "/root"}
    expected = {"PATH": "/bin", "CI_JOB": "2", "HOME": HOME, "OUT": f"{VALUES['cwd']}/out"}
    assert policy.environment.apply(outside, values) == expected


def test_network_is_merged_by_key() -> None:
    """What a child does not say holds as its parent says it, and the default where nobody does."""
    parent = parse_profile('[network]\nnamespace = "private"', "parent.toml")
    silent = parse_profile("[network]", "silent.toml")
    child = parse_profile('[network]\nnamespace = "host"', "child.toml")
    assert to_policy([parent, silent], {}).network == NetSettings(namespace="private")
    assert to_policy([parent, child], {}).network == NetSettings(namespace="host")
    assert not to_policy([silent], {}).network.private


def test_restrict_is_merged_by_key() -> None:
    """A child says only what it says; where nobody does, the first choice holds."""
    parent = parse_profile('[restrict]\nptrace = "deny"\nipc = "deny"', "parent.toml")
    child = parse_profile('[restrict]\nipc = "allow"', "child.toml")
    restrict = to_policy([parent, child], {}).restrict
    assert restrict == Restrict(ptrace="deny", ipc="allow")
    assert {key: restrict.says(key) for key in CHOICES} == {
        "ptrace": "deny",
        "user_namespaces": "deny",
        "setuid_bits": "allow",
        "ipc": "allow",
    }


def test_what_is_followed_is_merged() -> None:
    """A child says only what it says, also that it does not want what its parent has."""
    parent = parse_profile("[network]\nfollow_bind = true", "parent.toml")
    silent = parse_profile("[network]\n", "silent.toml")
    child = parse_profile("[network]\nfollow_bind = false", "child.toml")
    assert to_policy([parent, silent], {}).network == NetSettings(follow_bind=True)
    assert to_policy([parent, child], {}).network == NetSettings(follow_bind=False)


def test_sets_win() -> None:
    """--set gives another value, also to a variable that the profile only uses."""
    policy = to_policy([parse_profile(FULL, "full.toml")], {"out": "/o"})
    assert resolve(policy.variables, VALUES, {})["out"] == "/o"
    profile = parse_profile('rules = ["allow write ${dest}"]', "f")
    assert resolve(to_policy([profile], {"dest": "/d"}).variables, VALUES, {})["dest"] == "/d"


def test_set_that_nothing_uses() -> None:
    """A misspelt --set is an error."""
    with pytest.raises(PolicyError) as caught:
        to_policy([parse_profile(FULL, "full.toml")], {"uot": "/o"})
    assert str(caught.value) == "--set: 'full' has no variable 'uot' (did you mean 'out'?)"


def test_empty_profile() -> None:
    """A profile that says nothing is the default, enforced."""
    assert to_policy([parse_profile("", "f", "empty")], {}) == Policy("empty", sources=("f",))


def write(directory: Path, **profiles: str) -> None:
    """Profiles as files."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in profiles.items():
        (directory / f"{name}.toml").write_text(text)


def test_extends(tmp_path: Path) -> None:
    """Parents' rules come first, each parent once; scalars of the child win; lists are joined."""
    write(
        tmp_path,
        base='umask = "022"\nmode = "audit"\nrules = ["deny read /base"]\n[limits]\ncore = 0\nnproc = 9',
        left='extends = "./base.toml"\nrules = ["deny read /left"]\n[environment]\ndrop = ["L"]',
        right='extends = "./base.toml"\nrules = ["deny read /right"]\n[environment]\ndrop = ["R"]',
        child=(
            'extends = ["./left.toml", "./right.toml"]\numask = "077"\nmode = "enforce"\n'
            'rules = ["deny read /child"]\n[limits]\nnproc = 5'
        ),
    )
    policy = load(str(tmp_path / "child.toml"), {})
    assert [rule.pattern for rule in policy.rules] == ["/base", "/left", "/right", "/child"]
    assert (policy.name, policy.umask, policy.mode) == ("child", 0o077, Mode.ENFORCE)
    assert policy.environment.drop == ("L", "R")
    assert policy.limits == (("core", 0, 0), ("nproc", 5, 5))
    assert [Path(source).stem for source in policy.sources] == ["base", "left", "right", "child"]


def test_search_order(tmp_path: Path) -> None:
    """The user's profile comes before the system's that before the shipped one, each adding to the next."""
    write(tmp_path / "config/sydd/profiles", build='extends = "build"\ndescription = "mine"')
    write(tmp_path / "etc", build='extends = "build"\n', other='description = "o"')
    policy = load("build", {})
    files = ["credentials.toml", "devices.toml", "build.toml", "build.toml", "build.toml"]
    assert [Path(source).name for source in policy.sources] == files
    assert policy.sources[-1].startswith(str(tmp_path / "config"))
    found = {info.name: (info.origin, info.description) for info in available()}
    assert found["build"] == ("user", "mine")
    assert found["other"] == ("system", "o")
    assert found["offline"][0] == "shipped"


@pytest.mark.parametrize(
    "change",
    [
        "none",
        "the text",
        "what it extends",
        "one before it",
        "gone",
        "unreadable",
        "elsewhere",
        "what was read by another name",
    ],
)
def test_what_was_read_has_changed(tmp_path: Path, change: str) -> None:
    """Where nothing that was read or looked for has, the same would come of it, else it may not."""
    profiles = tmp_path / "config" / "sydd" / "profiles"
    profiles.mkdir(parents=True)
    other = tmp_path / "other.toml"
    other.write_text('rules = ["deny write /x"]')
    twice = tmp_path / "twice.toml"
    twice.symlink_to(other)
    own = tmp_path / "own.toml"
    own.symlink_to(tmp_path / "there.toml")
    (tmp_path / "there.toml").write_text(text := 'extends = ["build", "other.toml", "twice.toml"]')
    reads: list[Read] = []
    policy = load(str(own), {}, reads=reads)
    shipped = ["build", "credentials", "devices"]
    assert [read.name for read in reads] == [str(own), *shipped, "other.toml", "twice.toml"]
    assert unchanged(reads)
    if change == "the text":
        own.write_text(f"{text} ")
    elif change == "what it extends":
        other.write_text('rules = ["deny write /y"]')
    elif change == "one before it":
        (profiles / "build.toml").write_text('extends = "build"')
    elif change == "gone":
        other.unlink()
    elif change == "unreadable":
        other.write_bytes(b"\xff")
    elif change == "elsewhere":  # what is canonical tells whether a profile extends itself
        own.unlink()
        own.symlink_to(tmp_path / "another.toml")
        (tmp_path / "another.toml").write_text(text)
    elif change == "what was read by another name":
        twice.unlink()
        twice.write_text(other.read_text())
    assert unchanged(reads) == (change == "none")
    if change == "none":
        assert load(str(own), {}) == policy


def test_unknown_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name is put right, and a file of that name is pointed at."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError) as caught:
        load("bulid", {})
    assert str(caught.value) == "no profile 'bulid' (did you mean 'build'?)"
    Path("mine").touch()
    with pytest.raises(PolicyError) as caught:
        load("mine", {})
    assert str(caught.value) == "no profile 'mine' (write './mine' for the file of that name)"
    with pytest.raises(PolicyError) as caught:
        load("no/x.toml", {})
    assert str(caught.value) == "no profile at 'no/x.toml' (the directory 'no' does not exist)"


def test_broken_profiles_are_listed(tmp_path: Path) -> None:
    """A profile that cannot be read has no description, and hides none of the others."""
    write(tmp_path / "etc", broken="= x", odd="description = 1")
    assert {info.name: info.description for info in available()}["broken"] == ""
    assert {info.name: info.description for info in available()}["odd"] == ""


def test_shipped_are_known() -> None:
    """The shipped profiles are these, and each has a description."""
    assert tuple(info.name for info in available()) == SHIPPED
    assert all(info.description for info in available())


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("cwd", [f"{HOME}/src", HOME, f"{HOME}/.config/gh/x", "/tmp/x", "/"])
def test_shipped_have_no_findings(name: str, cwd: str) -> None:
    """`profile check` has nothing to say about them, wherever the work directory is."""
    policy = load(name, {})
    bound = bind_rules(policy.rules, VALUES | {"cwd": cwd}, {}, lambda path: path)
    assert findings(policy, bound, lambda _: True) == ()


@pytest.mark.parametrize(
    ("name", "access", "path", "action"),
    [
        ("build", Access.CREATE, f"{HOME}/src/a.o", Action.ALLOW),
        ("build", Access.CREATE, f"{HOME}/x", Action.DENY),
        ("build", Access.MODIFY, f"{HOME}/.bashrc", Action.DENY),
        ("build", Access.DELETE, "/tmp/s-1/x", Action.ALLOW),
        ("build", Access.DELETE, "/tmp/x", Action.DENY),
        ("build", Access.READ, f"{HOME}/.ssh/id_ed25519", Action.DENY),
        ("build", Access.READ, f"{HOME}/.cargo/credentials.toml", Action.DENY),
        ("build", Access.READ, f"{HOME}/.docker/config.json", Action.DENY),
        ("build", Access.READ, f"{HOME}/.bash_history", Action.DENY),
        ("build", Access.READ, f"{HOME}/.bashrc", Action.ALLOW),
        ("build", Access.READ, "/usr/include/stdio.h", Action.ALLOW),
        ("build", Access.MODIFY, "/dev/null", Action.ALLOW),
        ("build", Access.DELETE, "/dev/null", Action.DENY),
        ("build", Access.LINK, "/dev/shm/sem.a1b2c3", Action.ALLOW),
        ("build", Access.CREATE, "/dev/shm/psm_1234", Action.ALLOW),
        ("build", Access.CREATE, "/dev/shm/other", Action.DENY),
        ("build", Access.MODIFY, "/dev/pts/self/3", Action.ALLOW),
        ("build", Access.READ, "/dev/pts/self/3", Action.ALLOW),
        ("build", Access.MODIFY, "/dev/pts/3", Action.DENY),
        ("build", Access.READ, "/dev/pts/3", Action.DENY),
        ("build", Access.READ, "/dev/sda", Action.DENY),
        ("build", Access.READ, "/dev/tty1", Action.DENY),
        ("build", Access.READ, "/dev/shm/x", Action.ALLOW),
        ("build", Access.CONNECT, "127.0.0.1!80", Action.DENY),
        ("readonly", Access.MODIFY, "/dev/pts/self/3", Action.ALLOW),
        ("readonly", Access.READ, "/dev/pts/3", Action.DENY),
        ("readonly", Access.CREATE, f"{HOME}/src/a.o", Action.DENY),
        ("readonly", Access.READ, f"{HOME}/.ssh/id_ed25519", Action.DENY),
        ("readonly", Access.MODIFY, "/dev/null", Action.ALLOW),
        ("offline", Access.DELETE, "/etc/passwd", Action.ALLOW),
        ("offline", Access.MODIFY, "/proc/1/oom_score_adj", Action.DENY),
        ("offline", Access.MODIFY, "/proc/self/oom_score_adj", Action.ALLOW),
        ("offline", Access.CONNECT, "127.0.0.1!80", Action.DENY),
        ("permissive", Access.READ, "/etc/passwd", Action.WARN),
        ("permissive", Access.DELETE, "/etc/passwd", Action.WARN),
        ("permissive", Access.CONNECT, "127.0.0.1!80", Action.WARN),
        ("permissive", Access.STAT, "/etc/passwd", Action.ALLOW),
    ],
)
def test_shipped_decisions(name: str, access: Access, path: str, action: Action) -> None:
    """What the shipped profiles promise."""
    policy = load(name, {})
    matcher = Matcher(bind_rules(policy.rules, resolve(policy.variables, VALUES, {}), {}, lambda text: text))
    assert matcher.decide(access, path).action is action


def test_work_directory_is_uniform_under_build() -> None:
    """The kernel can be told wholly of the usual work directory, and of all reads beside the home."""
    matcher = Matcher(bind_rules(load("build", {}).rules, VALUES, {}, lambda path: path))
    assert matcher.uniform(Access.WRITE, VALUES["cwd"]) is Action.ALLOW
    assert matcher.uniform(Access.READ | Access.EXEC | Access.LIST, "/usr") is Action.ALLOW
    assert matcher.uniform(Access.READ, VALUES["cwd"]) is Action.ALLOW


def test_build_environment() -> None:
    """Secrets and agents stay outside, the temporary directory is the session's."""
    environment = load("build", {}).environment
    outside = {"PATH": "/bin", "GITHUB_TOKEN": "s", "AWS_REGION": "x", "SSH_AUTH_SOCK": "/s", "TMPDIR": "/t"}
    inside = environment.apply(outside, VALUES)
    assert inside == {"PATH": "/bin"} | dict.fromkeys(("TMPDIR", "TMP", "TEMP", "TEMPDIR"), "/tmp/s-1")


def test_matching_does_not_import_pydantic(tmp_path: Path) -> None:
    """What every launch imports is lean."""
    import subprocess

    code = (
        "import sys, sydd.policy.matcher, sydd.policy.policy, sydd.policy.suggest, sydd.profiles.store;"
        "sys.exit(bool({'pydantic', 'difflib'} & set(sys.modules)))"
    )
    root = Path(store.__file__).parents[2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, env={"HOME": str(tmp_path)}, check=False)
    assert done.returncode == 0
