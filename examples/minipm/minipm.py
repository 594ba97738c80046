#!/usr/bin/env python3
"""A tiny package manager: builds recipes under sydd, two at a time, and says why one failed.

    minipm.py [--profile NAME] [--jobs N] RECIPE…

A recipe is a TOML file: `name`, `build` (a shell script), optional `needs` (names of others) and `rules` of
sydd. It is built in a directory of its own; what it leaves in $out is installed below ./root. There is nothing
about sandboxing here but a call of `client.run`: who may do what is the profile's business.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import sys
import tomllib
from dataclasses import dataclass, field

from sydd.client import Client, ControlError, RunningSession, UnavailableError


@dataclass
class Recipe:
    """What to build, and how."""

    name: str
    build: str
    needs: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)


@dataclass
class Build:
    """A recipe that is being built."""

    recipe: Recipe
    directory: str
    session: RunningSession


class PackageManager:
    """Builds recipes in the order that they need one another."""

    def __init__(self, client: Client, profile: str, root: str) -> None:
        self.client = client
        self.profile = profile
        self.root = os.path.abspath(root)

    def start(self, recipe: Recipe) -> Build:
        """Begin a build; the daemon starts the command, so that this costs no interpreter start."""
        directory = os.path.join(self.root, "build", recipe.name)
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(os.path.join(directory, "out"))
        with open(os.path.join(directory, "log"), "wb") as log, open(os.devnull, "rb") as null:
            session = self.client.run(
                self.profile,
                ["sh", "-euc", recipe.build],
                directory=directory,
                environment={**os.environ, "out": os.path.join(directory, "out"), "root": self.root},
                descriptors=(null.fileno(), log.fileno(), log.fileno()),
                rules=recipe.rules,
                label=recipe.name,
            )
        print(f"{recipe.name}: building in session {session.session}")
        return Build(recipe, directory, session)

    def finish(self, build: Build) -> bool:
        """Wait for a build's last process, and install what it made; False when it failed."""
        with build.session as session:
            outcome = session.wait()
        name = build.recipe.name
        if outcome["status"] == 0:
            shutil.copytree(os.path.join(build.directory, "out"), self.root, dirs_exist_ok=True)
            print(f"{name}: installed")
            return True
        print(f"{name}: failed with status {outcome['status']}, see {build.directory}/log")
        if outcome["failure"]:
            print(f"  {outcome['failure']}")
        # What was denied is most often why; the daemon still knows.
        with self.client.subscribe(outcome["session"], position=0, kinds=["access"], follow=False) as notices:
            for notice in notices:
                print(f"  {notice['message']}")
                if notice["event"] and notice["event"]["allow"]:
                    print(f"    to allow it, add to rules: {notice['event']['allow']}")
        return False

    def run(self, recipes: list[Recipe], jobs: int) -> bool:
        """Build all of them, *jobs* at a time; False when one failed, which ends it."""
        waiting = {recipe.name: recipe for recipe in recipes}
        running: list[Build] = []
        good = True
        while running or (good and waiting):
            unfinished = waiting.keys() | {build.recipe.name for build in running}
            ready = [recipe for recipe in waiting.values() if not unfinished & set(recipe.needs)]
            while good and ready and len(running) < jobs:
                recipe = ready.pop(0)
                del waiting[recipe.name]
                running.append(self.start(recipe))
            if not running:
                print(f"these need one another: {', '.join(waiting)}")
                return False
            # A session is readable when its command has ended.
            for session in select.select([build.session for build in running], [], [])[0]:
                build = next(build for build in running if build.session is session)
                running.remove(build)
                good = self.finish(build) and good
        return good


def main() -> int:
    """Parse arguments, and say in one line what is wrong."""
    parser = argparse.ArgumentParser(description="Build recipes under sydd.")
    parser.add_argument("--profile", default="build")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--root", default="root", help="where packages are built and installed")
    parser.add_argument("recipes", metavar="RECIPE", nargs="+")
    arguments = parser.parse_args()
    try:
        recipes = []
        for path in arguments.recipes:
            with open(path, "rb") as file:
                recipes.append(Recipe(**tomllib.load(file)))
        with Client() as client:
            manager = PackageManager(client, arguments.profile, arguments.root)
            return 0 if manager.run(recipes, arguments.jobs) else 1
    except (ControlError, OSError, UnavailableError) as error:
        print(f"minipm: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
