"""The tables and headline of docs/tasks.md from hand-made scores."""

from benchmarks.tasks import retrieval, similarity
from benchmarks.tasks.part import plain, with_interval


def values(name: str, value: float, p: bool = False) -> dict[str, float]:
    own = {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
    return own | {f"{name}_p": 0.02} if p else own


def test_numbers_are_short_and_without_a_zero_before_the_point():
    assert [plain(value) for value in (0.5, -0.0214, -0.0002, 1.0, -1.5)] == [
        ".500",
        "-.021",
        ".000",
        "1.000",
        "-1.500",
    ]
    assert with_interval(values("r", 0.25), "r") == ".250 (.150 to .350)"


def test_retrieval_shows_each_score_at_its_place_and_its_worst_gain_over_bm25():
    methods = {name: values("ndcg_10", 0.1 * row) for row, name in enumerate(retrieval._METHODS)}

    def figures(gain: float) -> dict:
        pairs = [f"{pair}_{metric}" for pair in retrieval._PAIRS for metric in ("ndcg_10", "mrr")]
        return methods | {key: value for pair in pairs for key, value in values(pair, gain, p=True).items()}

    found = {"one": figures(0.3), "two": figures(-0.05), "one_core": figures(0.1)}
    assert retrieval.PART.headline(found) == {"retrieval_bm25_answers_minus_bm25_worst_set": -0.05}
    lines = retrieval.PART.table(found)
    assert lines[0] == "| nDCG@10 | one | two |"
    assert "| tfidf | .100 (.000 to .200) | .100 (.000 to .200) |" in lines
    assert "| answers | .300 (.200 to .400) |" in lines  # the smaller question set, in a table of its own
    assert "| bm25+answers minus bm25 | two | -.050 (-.150 to .050) | .020 | -.050 (-.150 to .050) | .020 |" in lines


def test_similarity_shows_rho_and_the_cognitive_load():
    own = {name: values("spearman", 0.1 * row) for row, name in enumerate(similarity._METHODS)}
    own["answers"] |= values("shared_yes", 1.5)
    assert similarity.PART.headline({"lee": own}) == {"similarity_answers_spearman_lee": 0.0}
    lines = similarity.PART.table({"lee": own})
    assert "| embedding | .400 (.300 to .500) |" in lines
    assert lines[-1] == "| questions that both texts get a yes to, mean | 1.500 (1.400 to 1.600) |"
