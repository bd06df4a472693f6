"""The pods that a selector was most likely meant for: a letter off, or all but one label. Pure; asked by the rule.

Whoever may make Services chooses what is compared with what: the letters that are looked at have a bound.
"""

from collections.abc import Iterable, Iterator, Mapping

from resilience_operator.targets.services.view import Labelled

FAR = 3
"""Letters that may differ in what was meant to be the same."""
UNLIKE = 10
"""What a label that is another one, or is not there, counts in letters."""
TRIES = 64
"""Words of one Service that are compared letter by letter; those after them are equal or strangers."""
LONGEST = 16
"""Letters between what two words begin and end with alike."""
SAID = 2
"""Labels that are told of."""


def nearest(selector: Mapping[str, str], every: Iterable[Labelled]) -> str:
    """Which pods come nearest to a selector, and by which label, as a sentence; "" where none is near."""
    best: tuple[int, str] | None = None
    tries = iter(range(TRIES))
    for one in every:
        found = _compared(selector, one.labels, tries)
        if found is not None and (best is None or found[0] < best[0]):
            best = found[0], f"the pods of {one.what} have {found[1]}"
    return best[1] if best is not None else ""


def _compared(
    selector: Mapping[str, str], labels: Mapping[str, str], tries: Iterator[int]
) -> tuple[int, str] | None:
    """(how far off the labels are, what to write in words); None where nothing says that they were meant."""
    off, said, same = 0, [], False
    for key, text in selector.items():
        if labels.get(key) == text:
            same = True
            continue
        far, words = _near(key, text, labels, tries)
        off += far
        said.append(words)
    if not said or (off >= UNLIKE and not same):
        return None
    return off, ", ".join(said[:SAID]) + (f" and {len(said) - SAID} more" if len(said) > SAID else "")


def _near(key: str, text: str, labels: Mapping[str, str], tries: Iterator[int]) -> tuple[int, str]:
    if key in labels:
        off = distance(text, labels[key], tries)
        return (off if off <= _allowed(text) else UNLIKE), f"{key}={labels[key]}, not {key}={text}"
    alike = (other for other, value in labels.items() if value == text)
    found = [(off, other) for other in alike if (off := distance(key, other, tries)) <= _allowed(key)]
    if found:
        return min(found)[0], f"{min(found)[1]}={text}, not {key}={text}"
    return UNLIKE, f"no label {key}"


def _allowed(text: str) -> int:
    """In a short word fewer letters may differ: two of three make it another one."""
    return min(FAR, max(1, len(text) // 2))


def distance(one: str, other: str, tries: Iterator[int]) -> int:
    """How many letters were left out, put in, changed, or changed places; more than FAR where that takes too long.

    The restricted distance of Damerau and Levenshtein.
    """
    if one == other:
        return 0
    one, other = _apart(one, other)
    if abs(len(one) - len(other)) > FAR or max(len(one), len(other)) > LONGEST or next(tries, None) is None:
        return FAR + 1
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, start=1):
        row = [i]
        for j, beside in enumerate(other, start=1):
            cost = min(rows[-1][j] + 1, row[j - 1] + 1, rows[-1][j - 1] + (letter != beside))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == beside:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def _apart(one: str, other: str) -> tuple[str, str]:
    """Both words without what they begin, and end, with alike."""
    shorter = min(len(one), len(other))
    begin = next((at for at in range(shorter) if one[at] != other[at]), shorter)
    one, other = one[begin:], other[begin:]
    shorter = min(len(one), len(other))
    end = next((at for at in range(shorter) if one[-1 - at] != other[-1 - at]), shorter)
    return one[: len(one) - end], other[: len(other) - end]
