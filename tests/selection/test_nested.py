"""The whole selection: unbiased where nothing is to be found, right where something was planted."""

from __future__ import annotations

import numpy as np
import pytest

from qaemb.errors import BadInput, BadParameter
from qaemb.features.space import Space
from qaemb.selection.nested import run_selection
from qaemb.selection.scoring import score_sets
from qaemb.selection.training import story_folds

ALL = ["greedy", "elastic_net", "stability"]


def test_on_pure_noise_nested_r_is_about_zero_where_plain_cross_validation_is_too_high(noise_world):
    nested, plain = {name: [] for name in ALL}, {name: [] for name in ALL}
    for seed in range(8):
        world = noise_world(seed)
        settings = world.settings(methods=ALL, sizes=[3], n_random=1, n_resamples=6)
        recordings = world.recordings()
        found = run_selection(settings, world.space, recordings)
        fold_of = story_folds(recordings, settings.encode)
        for subset, own in zip(found.final[:3], found.mean_nested(), strict=False):
            nested[subset.method].append(own.mean())
            sets = [(fold, subset.features) for fold in range(3)]
            scored = [score_sets(recording, [], sets, fold_of, settings.encode) for recording in recordings]
            plain[subset.method].append(np.mean([list(scores.nested.values()) for scores in scored]))
    for name in ALL:
        error = np.std(nested[name], ddof=1) / np.sqrt(len(nested[name]))
        assert abs(np.mean(nested[name])) < 3 * error, name
        assert np.mean(nested[name]) < 0.03, name
    for name in ("greedy", "elastic_net"):  # stability keeps what every half keeps: here next to chance
        assert np.mean(plain[name]) > np.mean(nested[name]) + 0.04, name


@pytest.mark.parametrize("first", ALL)
def test_planted_questions_are_chosen_by_every_method(world, first):
    settings = world.settings(methods=[first], sizes=[1, 3, 6], n_random=1, n_resamples=6)
    found = run_selection(settings, world.space, world.recordings())
    kept = found.final[found.chosen]
    assert kept.method == first
    assert {1, 2} <= set(kept.features)
    assert {0, 3} & set(kept.features)
    assert {question for question, _ in found.order[:3]} <= {0, 1, 2, 3}
    assert [size for _, size in found.order] == sorted(size for _, size in found.order)


def test_the_first_method_chooses_whatever_the_others_score(world):
    one = run_selection(world.settings(sizes=[2, 4]), world.space, world.recordings())
    more = run_selection(
        world.settings(sizes=[2, 4], methods=["elastic_net", "greedy"]), world.space, world.recordings()
    )
    assert one.final[one.chosen] == more.final[more.chosen]
    assert [subset.method for subset in more.final[:4]] == ["elastic_net"] * 2 + ["greedy"] * 2


def test_answers_that_never_vary_are_refused(world):
    still = Space(list(world.names), {story: np.zeros_like(own) for story, own in world.space.values.items()})
    with pytest.raises(BadInput, match="no answer varies with the responses in some of the train stories"):
        run_selection(world.settings(sizes=[2]), still, world.recordings(still))


def test_questions_that_are_the_same_twice_enter_together_and_an_empty_set_scores_nothing(world):
    values = {story: np.hstack([own[:, :3], own[:, :3]]) for story, own in world.space.values.items()}
    twice = Space([f"q{i}" for i in range(6)], values)
    found = run_selection(world.settings(sizes=[1, 2, 6], n_random=1), twice, world.recordings(twice))
    assert [len(subset.features) for subset in found.final[:3]] == [0, 2, 6]
    assert found.mean_nested()[0].tolist() == [0.0, 0.0, 0.0]
    assert found.scores["S1"].test[()] == 0.0
    with pytest.raises(BadInput, match=r"predicts held-out train stories better.*larger select\.sizes"):
        run_selection(world.settings(sizes=[1], n_random=1), twice, world.recordings(twice))


def test_a_protocol_of_the_encoding_stage_alone_is_refused_before_the_work(world):
    settings = world.settings(protocol="paper")
    with pytest.raises(BadParameter, match="`paper` belongs to the stage `encode` alone"):
        run_selection(settings, world.space, world.recordings())
