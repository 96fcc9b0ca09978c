"""Rules as `iptables-restore` reads them, compared with what `iptables-save` says is there.

1. `change` gives the text that leads from what is there to what is wanted, or nothing: applying it
   twice is no work, drift is mended, and a table changes in one step of the kernel's, so that no
   connection slips between two states.
2. Saved text differs from written text (order, `-m tcp`, `/32`): lines are compared as sets of
   options. An option that is not known is kept, hence a difference.
3. Only our own chains, and the jumps to them, are ever touched.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

from mesh.redirection.rules import (
    Accept,
    Chain,
    Mark,
    MarkConnection,
    Match,
    Redirect,
    RestoreMark,
    Return,
    Rule,
    Table,
    Target,
    TrackApart,
)

Options = frozenset[tuple[str, ...]]
"""One rule for comparison: each option with its values, `!` before a negated one."""

_IMPLIED_MODULES: Final = frozenset({"tcp", "udp", "mark", "connmark"})
_SAME_OPTION: Final = {"--to-port": "--to-ports", "--jump": "-j"}
_ALL_BITS: Final = "0xffffffff"


@dataclass(slots=True)
class _SavedTable:
    """What a table holds of ours: rules by own chain, and the jumps from hooks."""

    chains: dict[str, list[Options]] = field(default_factory=dict)
    jumps: list[tuple[str, str]] = field(default_factory=list)


def change(saved: str, wanted: Iterable[Rule]) -> str:
    """The input for `iptables-restore --noflush` that makes the namespace's rules the wanted ones.

    Args:
        saved: what `iptables-save` printed for the same family.
        wanted: all rules that are to be there; none takes everything of ours away.

    Returns:
        An empty text when nothing is to be done.
    """
    there = _read(saved)
    by_table = _by_table(wanted)
    return "".join(
        _table_change(table, there.get(table.value, _SavedTable()), by_table[table])
        for table in Table
    )


def _by_table(rules: Iterable[Rule]) -> Mapping[Table, dict[Chain, list[str]]]:
    tables: dict[Table, dict[Chain, list[str]]] = {table: {} for table in Table}
    for rule in rules:
        tables[rule.table].setdefault(rule.chain, []).append(rule_text(rule))
    # Both chains of a table that is used at all: which of them are empty is an option's business.
    for chains in tables.values():
        if chains:
            for chain in Chain:
                chains.setdefault(chain, [])
    return tables


def _table_change(table: Table, there: _SavedTable, wanted: Mapping[Chain, list[str]]) -> str:
    lines = [line for chain in Chain for line in _chain_change(chain, there, wanted.get(chain))]
    if not lines:
        return ""
    # iptables-restore wants the declarations of chains first.
    declared = [line for line in lines if line.startswith(":")]
    others = [line for line in lines if not line.startswith(":")]
    return "\n".join([f"*{table.value}", *declared, *others, "COMMIT", ""])


def _chain_change(chain: Chain, there: _SavedTable, wanted: list[str] | None) -> Iterator[str]:
    jump = f"{chain.hook} -j {chain.own}"
    jumps = there.jumps.count((chain.hook, chain.own))
    if wanted is None:
        yield from (f"-D {jump}" for _ in range(jumps))
        if chain.own in there.chains:
            yield from (f"-F {chain.own}", f"-X {chain.own}")
        return
    if there.chains.get(chain.own) != [_options(text.split()) for text in wanted]:
        yield f":{chain.own} - [0:0]"  # makes the chain, or empties it
        yield from (f"-A {chain.own} {text}" for text in wanted)
    yield from (f"-D {jump}" for _ in range(jumps - 1))
    if not jumps:
        yield f"-A {jump}"


def rule_text(rule: Rule) -> str:
    """A rule without its chain, as it is written to iptables-restore."""
    return " ".join([*_match_words(rule.match), *_target_words(rule.target)])


def _match_words(match: Match) -> Iterator[str]:
    protocol = "tcp" if match.is_tcp else "udp" if match.is_udp else ""
    options = {
        "-s": match.source,
        "-d": match.destination,
        "! -d": match.destination_not,
        "-i": match.in_link,
        "-o": match.out_link,
        "! -o": match.out_link_not,
        "-p": protocol,
        "-m": "tcp" if match.source or match.destination else "",  # as Istio writes these two
        f"-m {protocol} --dport": str(match.port or ""),
        f"-m {protocol} --sport": str(match.source_port or ""),
        "-m tcp ! --dport": str(match.port_not or ""),
        "-m mark --mark": _mark_word(match.mark),
        "-m mark ! --mark": _mark_word(match.mark_not),
        "-m connmark --mark": _mark_word(match.connection_mark),
    }
    return (f"{option} {value}" for option, value in options.items() if value)


def _target_words(target: Target) -> tuple[str, ...]:
    match target:
        case Accept():
            return ("-j", "ACCEPT")
        case Return():
            return ("-j", "RETURN")
        case Redirect(port):
            return ("-j", "REDIRECT", "--to-ports", str(port))
        case MarkConnection(mark):
            return ("-j", "CONNMARK", "--set-xmark", _mark_word(mark))
        case TrackApart(zone):
            return ("-j", "CT", "--zone", str(zone))
        case RestoreMark():
            return (
                *("-j", "CONNMARK", "--restore-mark"),
                *("--nfmask", _ALL_BITS, "--ctmask", _ALL_BITS),
            )
        case other:
            assert_never(other)


def _mark_word(mark: Mark | None) -> str:
    return f"{mark.value:#x}/{mark.mask:#x}" if mark else ""


def _read(saved: str) -> dict[str, _SavedTable]:
    own = {chain.own for chain in Chain}
    tables: dict[str, _SavedTable] = {}
    table = _SavedTable()
    for line in saved.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:].strip(), _SavedTable())
        elif line.startswith(":") and (name := line[1:].split()[0]) in own:
            table.chains.setdefault(name, [])
        elif line.startswith("-A "):
            _, chain, *words = line.split()
            if chain in own:
                table.chains.setdefault(chain, []).append(_options(words))
            elif len(words) == 2 and words[1] in own:
                table.jumps.append((chain, words[1]))
    return tables


def _options(words: Iterable[str]) -> Options:
    """The options of a rule's words: `["!", "-d", "::1/128"]` is `("!", "-d", "::1/128")`."""
    groups: list[list[str]] = []
    is_negated = False
    for word in words:
        if word == "!":
            is_negated = True
        elif word.startswith("-"):
            name = _SAME_OPTION.get(word, word)
            groups.append(["!", name] if is_negated else [name])
            is_negated = False
        elif groups:
            groups[-1].append(word)
    return frozenset(tuple(group) for group in groups if not _is_implied(group))


def _is_implied(group: list[str]) -> bool:
    return group[0] == "-m" and group[-1] in _IMPLIED_MODULES
