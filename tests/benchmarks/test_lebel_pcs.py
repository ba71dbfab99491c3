"""The table of docs/results.md from hand-made scores."""

import pandas as pd

from benchmarks import lebel_pcs


def numbers(r: float) -> dict[str, float]:
    return {"mean_r": r, "r_low": r - 0.01, "r_high": r + 0.01}


def test_headline_and_tables_hold_each_score_at_its_place():
    models = list(lebel_pcs._MODELS)
    scores = {
        name: {"uts03": numbers(0.1 + i / 100), "uts01": numbers(0.05 + i / 100)} for i, name in enumerate(models)
    }
    curve = pd.DataFrame(
        [
            {"method": method, "n_questions": 29, "subject": subject, "r": r}
            for method, subject, r in [
                ("greedy", "uts03", 0.181),
                ("greedy", "uts01", 0.098),
                ("random", "uts03", 0.151),
                ("random", "uts01", 0.081),
            ]
        ]
    )
    headline = lebel_pcs._headline(scores, curve)
    for key, name in (
        ("published86", "gpt4"),
        ("embedding_mpnet", "mpnet"),
        ("published86_plus_embedding", "gpt4+embedding"),
        ("readable_best", "readable"),
    ):
        assert headline[f"uts03_{key}"] == round(0.1 + models.index(name) / 100, 4)
    assert headline["uts01_published86"] == round(0.05 + models.index("gpt4") / 100, 4)
    assert (headline["uts03_select29"], headline["uts03_random29"]) == (0.181, 0.151)
    lines = lebel_pcs._tables(scores, curve).splitlines()
    assert "| bag of 600 words | 0.110 (0.100 to 0.120) | 0.060 (0.050 to 0.070) |" in lines
    assert lines[-2:] == ["| 29 by greedy | 0.181 | 0.098 |", "| 29 at random | 0.151 | 0.081 |"]
