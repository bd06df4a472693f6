"""What is kept to be used again: bounded in bytes, whatever is asked."""

from typing import Any

from resilience_operator.core.caching import LARGEST, Pool, kept


def test_a_pool_gives_the_first_of_equal_values_and_forgets_the_oldest() -> None:
    pool: Pool[tuple[str, int]] = Pool(len, most=10)
    first = ("a", 1)
    assert pool.keep("aaaa", first) is first
    assert pool.get("aaaa") is first
    pool.keep("bbbb", ("b", 2))
    pool.keep("cccc", ("c", 3))
    assert [pool.get(key) for key in ("aaaa", "bbbb", "cccc")] == [None, ("b", 2), ("c", 3)]
    assert (len(pool), pool.bytes) == (2, 8)


def test_what_is_kept_twice_is_counted_once_and_what_is_large_never() -> None:
    pool: Pool[Any] = Pool(lambda key: 100 if key is None else len(key))
    for _ in range(3):
        pool.keep(None, None)
        pool.keep("x" * (LARGEST + 1), 1)
    assert (len(pool), pool.bytes) == (1, 100)


def test_answers_to_long_questions_are_computed_anew() -> None:
    asked: list[str] = []

    @kept(10, longest=5)
    def echo(text: str) -> str:
        asked.append(text)
        return text

    @kept(10, longest=5)
    def join(one: str, other: str) -> str:
        asked.append(one + other)
        return one + other

    assert [echo("abcde"), echo("abcde"), echo("abcdef"), echo("abcdef")] == ["abcde"] * 2 + ["abcdef"] * 2
    assert [join("abc", "de"), join("abc", "de"), join("abc", "def"), join("abc", "def")] == ["abcde"] * 2 + [
        "abcdef"
    ] * 2
    assert asked == ["abcde", "abcdef", "abcdef"] * 2
