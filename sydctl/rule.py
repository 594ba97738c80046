"""`sydctl rule`: rules of a session that runs."""

from __future__ import annotations

import argparse

from sydctl.connect import STATUSES, add_json, add_session, add_socket, connected, print_json

DESCRIPTION = """\
Add rules to a session that runs, remove those that were added, or list all. A rule that was added comes after
all others and decides the next call already. Rules that permit have to be covered by the profile's
[limits] runtime; rules that forbid may always be added."""

EPILOG = f"""\
{STATUSES}

examples:
  sydctl rule list 7f3a01c2
  sydctl rule add 7f3a01c2 'allow write ${{home}}/.cache/ccache/**'
  sydctl rule remove 7f3a01c2 'allow write ${{home}}/.cache/ccache/**'
  sydctl rule add self 'deny net any'
"""

ACTIONS = {
    "add": "add rules, all or none",
    "remove": "remove rules that were added, all or none",
    "list": "list the rules, those that were added, and what may be added",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `sydctl rule`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)
    for name, text in ACTIONS.items():
        subparser = subparsers.add_parser(
            name,
            help=text,
            description=text,
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_session(subparser)
        if name != "list":
            subparser.add_argument("rules", metavar="RULE", nargs="+", help="as profiles have them")
        add_json(subparser, "print the rules that there are then, as JSON")
        add_socket(subparser)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl rule`."""
    with connected(arguments) as client:
        if arguments.action == "add":
            rules = client.add_rules(arguments.session, arguments.rules)
        elif arguments.action == "remove":
            rules = client.remove_rules(arguments.session, arguments.rules)
        else:
            rules = client.list_rules(arguments.session)
    if arguments.json:
        print_json(rules)
    elif arguments.action == "list":
        from sydctl.inspect import rule_lines

        print("\n".join(rule_lines(rules)[1:]))
    return 0
