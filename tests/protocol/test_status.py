"""Status words: every synonym, in any case; a word that nobody knows is never success."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.protocol.status import RunState, StatusVocabulary, is_stopping

# Sources: seen on the wire, the vendor's web page, the same vendor's neighbouring enums (and inference).
WORDS = {
    RunState.RUNNING: "running 运行中 停止中 AWAITING INITIALIZED RESUMING PENDING init",
    RunState.SUCCEEDED: "SUCCEEDED SUCCESS 运行成功 finished",
    RunState.FAILED: "FAILED FAILURE 运行失败 error",
    RunState.STOPPED: "TERMINATED 已停止 stopped CANCELLED",
}
KNOWN = [(word, state) for state, words in WORDS.items() for word in words.split()]


@pytest.mark.parametrize(("word", "state"), KNOWN)
def test_a_word_of_the_vendors_is_known(word, state):
    assert StatusVocabulary().state_of(word) is state


@given(st.sampled_from(KNOWN), st.randoms(use_true_random=False))
def test_case_spaces_dashes_and_underscores_dont_matter(known, random):
    word, state = known
    written = "".join(random.choice((letter.lower(), letter.upper(), f" {letter}", f"_{letter}")) for letter in word)

    assert StatusVocabulary().state_of(written) is state


@pytest.mark.parametrize("word", ["", None, "flourishing", True, False, 3.5, [], {"status": "success"}, 0, -1])
def test_an_unrecognized_word_is_unknown(word):
    assert StatusVocabulary().state_of(word) is RunState.UNKNOWN


@given(st.text() | st.integers() | st.none() | st.booleans() | st.lists(st.text()))
def test_nothing_is_success_but_the_words_for_it(word):
    if StatusVocabulary().state_of(word) is RunState.SUCCEEDED:
        folded = "".join(str(word).casefold().split()).replace("_", "").replace("-", "")
        assert folded in (
            "succeeded success successful succeed completed complete finished done 运行成功 成功 已完成 完成".split()
        )


def test_only_three_states_are_an_end():
    assert [state for state in RunState if state.is_final] == [RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED]


def test_a_connection_adds_words_of_its_own():
    words = StatusVocabulary(
        {RunState.SUCCEEDED: ["OK", "Great"], RunState.RUNNING: ["warming up"], RunState.FAILED: [3]}
    )

    assert words.state_of("ok") is RunState.SUCCEEDED
    assert words.state_of("Warming-Up") is RunState.RUNNING
    assert words.state_of(3) is RunState.FAILED
    assert words.state_of("great") is RunState.SUCCEEDED


def test_a_connections_word_wins_over_the_usual_meaning():
    assert StatusVocabulary({RunState.RUNNING: ["finished"]}).state_of("FINISHED") is RunState.RUNNING


def test_a_connections_words_stay_its_own():
    StatusVocabulary({RunState.SUCCEEDED: ["ok"]})

    assert StatusVocabulary().state_of("ok") is RunState.UNKNOWN


def test_two_connections_that_say_the_same_are_equal():
    same, other = (StatusVocabulary({RunState.SUCCEEDED: [word]}) for word in ("ok", "great"))

    assert same == StatusVocabulary({RunState.SUCCEEDED: ["OK"]})
    assert same != other


@pytest.mark.parametrize(("word", "stopping"), [("STOPPING", True), ("停止中", True), ("stopped", False), ("", False)])
def test_a_run_that_is_stopping_can_be_recognized(word, stopping):
    assert is_stopping(word) is stopping
