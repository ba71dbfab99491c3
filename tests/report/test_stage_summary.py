from __future__ import annotations

from qaemb.stages.report import summary


def test_the_summary_shows_scores_ceilings_grades_and_where_to_look(settings, workspace, write_outputs, capsys):
    write_outputs()
    summary(settings, workspace)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith("  ")]
    assert rows[0] == ["mean", "r,", "test", "stories", "UTS01", "UTS02"]
    models = [row[0] for row in rows[2:7]]
    assert models == ["gold", "qa+embedding", "embedding", "qa", "word_rate"]
    assert rows[2] == ["gold", "0.300", "0.310"]
    assert rows[8] == ["noise", "ceiling", "0.600", "0.600"]
    assert "  llm answers at chance: mean AUC 0.513 (job llm_sentence)" in lines
    assert lines[lines.index("  pairs: spearman") + 1].split() == ["answers", "0.520", "(0.420", "to", "0.620)"]
    assert "  llm_sentence: 200 cells, 31.2 cells/s" in lines
    text = "\n".join(lines)
    assert str(workspace.reports / "index.html") in text
    assert all(command in text for command in ("make ui", "make serve", "dvc metrics show"))


def test_cells_from_the_store_have_no_speed(settings, workspace, write_outputs, capsys):
    write_outputs()
    workspace.run_figures("answers", "llm_tr").write_text('{"cells_answered_now": 0, "cells_per_s": 0.0}')
    summary(settings, workspace)
    assert "  llm_tr: none, all from the store" in capsys.readouterr().out.splitlines()


def test_the_summary_of_an_empty_project_says_what_to_run(settings, workspace, capsys):
    summary(settings, workspace)
    assert "run `dvc repro`" in capsys.readouterr().out
