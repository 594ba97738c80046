"""Programs that builds are made of: copies, archives, edits, locks, makes."""

from __future__ import annotations

import os
import pathlib
import shutil
import tarfile
import tempfile
import zipfile

from tests.transparency.acts.tell import attempt, say, shell, write

TREE = """
mkdir -p from/sub/empty && cd from
echo one > file; chmod 640 file; echo x > executable; chmod 4755 executable
ln -s file link; ln -s /nowhere absolute; ln -s missing dangling; ln file hard
mkfifo fifo; mkdir -m 1777 sticky; mkdir -m 2750 setgid
truncate -s 3M sparse; printf end >> sparse; : > 'a name with spaces'
touch -d '2001-02-03 04:05:06.789' file executable sub
touch -h -d '2002-02-03' link dangling
python3 -c 'import os; os.setxattr("file", "user.note", b"kept")' 2>/dev/null
touch -d '2003-02-03' sub/empty sticky setgid . 'a name with spaces' fifo sparse
cd ..
"""


def copied() -> None:
    """Cp -a, cp -r, cp --sparse, cp -l, cp -s, cp -u, cp --preserve."""
    shell(
        TREE
        + """
cp -a from to; cp -r from/sub recursive; cp --sparse=always from/sparse sparse
cp -al from links; cp -s "$PWD/from/file" symbolic; cp -p from/executable preserved
cp from/executable plain; cp -u from/file to; cp -T from/link followed
cp -P from/link itself; cp from/file from/missing-dir/x
cp --reflink=auto from/file reflinked; cp -n from/file plain; cp -f from/file plain
cp -b from/file plain; cp --remove-destination from/file plain
"""
    )


def archived() -> None:
    """Tar with links, sparse files, FIFOs, modes, times, attributes; into a place that exists already."""
    shell(
        TREE
        + """
umask 022
tar --xattrs -cSf a.tar from && mkdir to && tar --xattrs -xpf a.tar -C to && tar -xf a.tar -C to
tar -czf - from | tar -xzf - -C to --strip-components=1
tar -tvf a.tar --full-time | awk '{print $1, $3, $6}' | sort
tar --delete -f a.tar from/file; tar -xf a.tar from/file; tar -rf a.tar from/file
tar -df a.tar; rm a.tar
"""
    )


def synchronised() -> None:
    """Rsync -aHX, with deletions and a second run that has nothing to do."""
    shell(
        TREE
        + """
rsync -aHX --no-specials from/ to/; rm from/file
rsync -aHX --delete --no-specials -i from/ to/; rsync -aHX --no-specials -i from/ to/
rsync -a --inplace from/sparse to/; rsync --checksum -r from/sub to2
"""
    )


def found() -> None:
    """Find by type, mode, time, link count, with -exec and -delete."""
    shell(
        TREE
        + """
find from | sort; find from -type l -o -type p | sort
find from -perm -4000 -print0 | xargs -0 ls -1; find from -links 2 -type f | sort
find from -newermt 2002-06-01 | sort; find -L from -name file | sort
find from -name 'fi*' -type f -exec chmod 600 {} + ; find from -empty -delete
find from -depth -name sub -exec rmdir {} \\;; find from -samefile from/file | sort
find . -maxdepth 1 -printf '%y %m %p\\n' | sort
"""
    )


def installed() -> None:
    """install(1) with directories, modes, stripping, backups; ln, mktemp, mv."""
    shell("""
umask 027; echo x > f; install -D -m 755 f usr/bin/f; install -d -m 2755 a/b/c
install -m 4711 -p f a/f; install -b f a/f; install -t a/b f; ln -sfn a/b current
ln -sfn a current; ln -f f a/f; mv -n f a/f; mv f g; mv -T a/b a/d; mv g a/
mv -b a/g a/f; d=$(mktemp -d ./XXXXXX) && stat -c %a $d && rmdir $d
t=$(mktemp ./XXXXXX) && stat -c %a $t && rm $t; mkdir -p a/d/x/y a/d; mkdir -pm 700 p/q
rm -rf a/d; rm a; rm -f missing; rmdir -p p/q; touch -r usr/bin/f new; unlink new
mv missing x
""")


def edited() -> None:
    """Sed -i, perl -i, ed by rename, patch, dd, truncate, sort onto itself."""
    shell("""
printf 'one\\ntwo\\n' > f; chmod 751 f; ln -s f l; sed -i 's/one/1/' f
sed -i.bak 's/two/2/' f; sed -i --follow-symlinks 's/1/x/' l; perl -pi -e 's/2/3/' f
sort -o f -r f; cat f; dd if=f of=g bs=1 skip=1 seek=3 conv=notrunc 2>/dev/null
dd if=/dev/zero of=g bs=1 count=1 conv=notrunc,fsync oflag=append 2>/dev/null
truncate -s +5 g; split -b 3 g part-; tee -a f < g > h
printf '%s\\n' '--- f' '+++ f' '@@ -1 +1 @@' '-a' '+b' > p; echo a > f
patch -s f < p 2>&1 || echo no patch; gzip -k h; gunzip -c h.gz | cmp - h; rm h.gz
""")


def redirected() -> None:
    """What shells do with files."""
    shell("""
echo a > f; echo b >> f; cat < f; exec 3<> f; read x <&3; echo $x; echo over >&3
exec 3>&-; cat f; set -C; echo no > f; echo yes >| f; cat <<END
here $x
END
(echo out
echo err >&2) > both 2>&1; cat both; : > empty; cat missing; echo $?; umask 077
echo p > private; trap 'echo trapped' EXIT
[ -w f ] && [ -x . ] && [ ! -x f ] && [ -p f ] || echo tests; ls -l /dev/fd/0 > /dev/null
""")


def redirected_by_bash() -> None:
    """Process substitution, coprocesses, here-strings, /dev/stdin, named descriptors."""
    shell(
        """
diff <(echo a) <(echo b); cat <<< string; echo piped | cat /dev/stdin
echo x | tee >(cat > by-tee) > /dev/null; wait; sleep 0.1; exec {fd}> named; echo n >&$fd
exec {fd}>&-; coproc cat; echo to >&${COPROC[1]}; read line <&${COPROC[0]}; echo $line
echo a > /dev/stderr; mapfile -t lines < <(printf '1\\n2\\n'); echo ${#lines[@]}
echo end > /dev/stdout
""",
        "bash",
    )


def locked() -> None:
    """flock(1), timeout, nohup, setsid, xargs -P, mkfifo with two ends."""
    shell("""
for i in 1 2 3 4; do flock lock sh -c 'x=$(cat n 2>/dev/null || echo 0)
echo $((x + 1)) > n' & done; wait; cat n; timeout 0.1 sleep 10; echo $?
timeout -s KILL 0.1 sleep 10; echo $?; mkfifo p; cat p & echo through > p; wait
seq 20 | xargs -P 4 -I{} sh -c 'echo {} > x-{}'; ls x-* | wc -l; setsid -w sh -c 'exit 3'
echo $?; nohup true 2>/dev/null; echo $?; env -i sh -c 'echo ${HOME-none}'; (ulimit -f 1
dd if=/dev/zero of=big bs=1k count=9 2>/dev/null; echo $?); nice true
""")


def made() -> None:
    """Make -j with a jobserver, ar, gcc with -pipe and without."""
    write(
        "Makefile",
        """
.DELETE_ON_ERROR:
all: p broken.txt
%.o: %.c
	cc -pipe -c -o $@ $<
lib.a: a.o b.o
	ar rcsD $@ $^
p: m.o lib.a
	cc -o $@ $^
	./p
broken.txt:
	echo half > $@
false

""",
    )
    for name, text in (
        ("a", "int a(void){return 1;}"),
        ("b", "int b(void){return 2;}"),
        ("m", "int a(void),b(void);int main(void){return a()+b()-3;}"),
    ):
        write(f"{name}.c", text + "\n")
    shell("make -j4 -k -s 2>&1 | sort; make -q; echo $?; touch a.c; make -n | sort; rm -f p *.o *.a")


def by_python() -> None:
    """shutil, pathlib, tempfile, tarfile, zipfile."""
    shell(TREE)
    os.unlink("from/fifo")
    attempt("copytree", shutil.copytree, "from", "to", symlinks=True)
    attempt("copytree over", lambda: shutil.copytree("from/sub", "to", dirs_exist_ok=True))
    attempt("copy2", shutil.copy2, "from/file", "copy2")
    attempt("same", lambda: shutil.move("copy2", "moved"))
    attempt("rmtree", shutil.rmtree, "to/sticky")
    attempt("archive", lambda: os.path.basename(shutil.make_archive("archive", "gztar", "from")))
    shutil.unpack_archive("archive.tar.gz", "unpacked")
    with tarfile.open("archive.tar.gz") as archive:
        say(sorted((item.name, oct(item.mode), item.size, item.mtime < 1.1e9) for item in archive))
    os.unlink("archive.tar.gz")
    with zipfile.ZipFile("z.zip", "w") as archive_zip:
        archive_zip.write("from/executable")
        archive_zip.extract("from/executable", "unzipped")
    os.unlink("z.zip")
    with (
        tempfile.TemporaryDirectory(dir=".") as directory,
        tempfile.NamedTemporaryFile(dir=directory) as file,
    ):
        say(oct(os.stat(directory).st_mode), oct(os.fstat(file.fileno()).st_mode))
    with tempfile.TemporaryFile(dir=".") as unnamed:
        unnamed.write(b"x")
        say(os.fstat(unnamed.fileno()).st_nlink)
    path = pathlib.Path("p")
    path.mkdir(mode=0o750, parents=True)
    (path / "t").touch(0o600)
    (path / "t").replace(path / "u")
    (path / "l").symlink_to("u")
    (path / "h").hardlink_to(path / "u")
    say(sorted(map(str, path.rglob("*"))), (path / "l").resolve().name)


def by_git() -> None:
    """init, commit, branch, clone, gc: the same hashes."""
    when = "2001-01-01T00:00:00Z"
    shell(
        """
git init -q -b main r && cd r && git config user.name n &&
git config user.email e@e && mkdir d && echo a > d/a && ln -s d/a l && echo x > x &&
chmod 755 x && git add . && git commit -qm one && git checkout -qb other &&
echo b >> d/a && git commit -qam two && git checkout -q main &&
git merge -q --ff-only other && git log --format=%H && git gc -q && git fsck &&
cd .. && git clone -q r c && git -C c status --short && git -C c stash list &&
git clone -q --bare r bare.git && git -C c rev-parse HEAD &&
git -C r worktree add -q ../w HEAD~1 && git -C w log --oneline | wc -l &&
rm -rf r c w bare.git
""",
        env={
            **os.environ,
            "GIT_AUTHOR_DATE": when,
            "GIT_COMMITTER_DATE": when,
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": os.getcwd(),
        },
    )
