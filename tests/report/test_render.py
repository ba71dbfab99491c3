from __future__ import annotations

import base64
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from qaemb.report import draw, render
from qaemb.report.data import DriftFacts
from qaemb.report.figures import file_name
from qaemb.report.render import _percent, _thousands, number
from qaemb.stages.report import gather


class _Page(HTMLParser):
    """Tags, links and texts of a page; fails on tags that don't close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.images, self.tags, self.open, self.text = [], [], set(), [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        values = dict(attrs)
        self.links += [values[key] for key in ("href", "action") if key in values]
        self.images += [values["src"]] if "src" in values else []
        if tag not in {"img", "meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def findings(settings, workspace, write_outputs):
    write_outputs()
    return gather(settings, workspace)


def test_the_page_needs_nothing_but_itself(findings):
    figures = draw(replace(findings, maps=()))
    text = render(replace(findings, maps=()), figures)
    page = _Page(text)
    assert page.open == []
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text
    shown = [base64.b64decode(src.removeprefix("data:image/png;base64,")) for src in page.images]
    assert sorted(shown) == sorted(figures.values())
    assert {link for link in page.links if not link.startswith("#")} == {
        "data_docs/llm_tr/index.html",
        "data_docs/llm_sentence/index.html",
    }


def test_drift_is_said_with_its_page(findings):
    drift = DriftFacts("llm_tr against reference r: 1 of 4 questions moved (fog)", True, "data_docs/llm_tr/drift.html")
    jobs = tuple(replace(job, drift=drift if job.job == "llm_tr" else None) for job in findings.jobs)
    page = _Page(render(replace(findings, maps=(), jobs=jobs), draw(replace(findings, maps=()))))
    assert "Drift: llm_tr against reference r: 1 of 4 questions moved (fog) (which and how)." in page.text
    assert "data_docs/llm_tr/drift.html" in page.links
    assert page.text.count("warnings are about drift") == 1


def test_every_anchor_has_its_section(findings):
    text = render(replace(findings, maps=()), draw(replace(findings, maps=())))
    assert all(f'id="{link[1:]}"' in text for link in _Page(text).links if link.startswith("#"))


def test_the_page_says_the_numbers(findings):
    text = _Page(render(replace(findings, maps=()), draw(replace(findings, maps=())))).text
    for said in ("0.300", "50%", "31.2", "abc123def456", "fog", "question_2", "llm answers at chance", "60 of 80"):
        assert said in text
    assert "0.200" in text  # gold over word_rate, paired
    assert "0.513" in text  # CC_norm of gold
    assert "47" in text  # voxels above chance
    assert "there is no ceiling" not in text
    assert "▲" in text


def test_a_missing_ceiling_is_said(findings):
    scores = findings.scores.assign(mean_ceiling=float("nan"), share_of_ceiling=float("nan"), mean_cc_norm=float("nan"))
    without = replace(findings, scores=scores, maps=())
    assert "there is no ceiling" in _Page(render(without, draw(without))).text


def test_names_from_outside_are_text_not_html(findings):
    dataset = replace(findings.dataset, name="<script>alert(1)</script>")
    empty = replace(findings, dataset=dataset, jobs=(), selections=(), maps=())
    empty = replace(empty, scores=findings.scores[:0], pairs=findings.pairs[:0], importance=findings.importance[:0])
    text = render(empty, {})
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert text.count('class="absent"') == 6


def test_numbers_and_what_stands_where_there_is_none():
    assert (number(-0.25, 2), number(None), number(float("nan"))) == ("−0.25", "–", "–")
    assert (_percent(0.427), _percent(float("nan"))) == ("43%", "–")
    assert (_thousands(1234567), _thousands(999.6)) == ("1\u202f234\u202f567", "1\u202f000")


def test_figures_have_names_that_any_file_system_takes():
    assert file_name("scores", "a/b c:d") == "scores_a-b-c-d.png"
    assert file_name("curve", "qa+word_rate") == "curve_qa+word_rate.png"
