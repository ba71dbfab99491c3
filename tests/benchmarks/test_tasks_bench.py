"""The tables and headline of docs/tasks.md from hand-made scores."""

from benchmarks.tasks import classification, clustering, retrieval, similarity
from benchmarks.tasks.classification import _SIZES as SIZES
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


def test_classification_shows_every_size_and_its_best_and_worst_set():
    methods = (
        "tfidf",
        "embedding",
        "majority",
        *(f"{way}_{n}" for way in ("answers", "random") for n in (*SIZES, "all")),
    )
    scores = {name: values("accuracy", 0.01 * row) for row, name in enumerate(methods)}

    def figures(difference: float) -> dict:
        pairs = (f"answers_30_minus_{name}" for name in classification._PAIRS)
        return scores | {key: value for pair in pairs for key, value in values(pair, difference, p=True).items()}

    found = {"one": figures(-0.02), "two": figures(-0.2)}
    assert classification.PART.headline(found) == {
        "classification_30_answers_minus_minilm_best_set": -0.02,
        "classification_30_answers_minus_minilm_worst_set": -0.2,
    }
    lines = classification.PART.table(found)
    assert lines[2] == "| answers_1 | .030 (-.070 to .130) | .030 (-.070 to .130) |"
    assert lines[3].startswith("| random_1 | .110 ")
    assert not any(line.startswith("| random_all") for line in lines)
    assert "| tfidf | two | -.200 (-.300 to -.100) | .020 |" in lines


def test_clustering_shows_both_scores_and_what_choosing_by_wording_gives():
    scores = {
        name: values("v_measure", 0.1 * row) | values("separation", 0.01 * row)
        for row, name in enumerate(clustering._METHODS)
    }

    def figures(difference: float) -> dict:
        names = (
            f"answers_wording_minus_{b}_{s}" for b in ("answers_all", "random") for s in ("v_measure", "separation")
        )
        return scores | {key: value for name in names for key, value in values(name, difference).items()}

    found = {"one": figures(0.3), "two": figures(-0.05)}
    assert set(clustering.PART.headline(found).values()) == {-0.05}
    lines = clustering.PART.table(found)
    assert "| embedding | .600 (.500 to .700) | .600 (.500 to .700) |" in lines
    assert "| answers_wording less random | .300 (.200 to .400) | -.050 (-.150 to .050) |" in lines
    assert lines[0].startswith("| V-measure | one | two |")
    assert sum(line.startswith("| separation") for line in lines) == 1
