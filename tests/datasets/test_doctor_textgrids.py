"""The doctor on TextGrids: every kind of fault, made in a generated folder and looked for in the report."""

import json
import re
from pathlib import Path

import pytest
import yaml

GRIDS = "derivative/TextGrids"


def edit_scans(folder, **changes):
    path = folder / "derivative/respdict.json"
    scans = {story: n for story, n in (json.loads(path.read_text()) | changes).items() if n is not None}
    path.write_text(json.dumps(scans))


def edit_words(folder, change, story="alpha"):
    path = folder / GRIDS / f"{story}.TextGrid"
    head, tier = path.read_text().split('name = "word"')
    path.write_text(head + 'name = "word"' + change(tier))


def replace_word(number, label):
    def change(tier):
        parts = tier.split("text = ")
        parts[number] = f'"{label}" ' + parts[number][parts[number].index("\n") :]
        return "text = ".join(parts)

    return change


def cut(path):
    return lambda folder: (folder / path).write_bytes(
        (folder / path).read_bytes()[: (folder / path).stat().st_size // 2]
    )


FAULTS = [
    (cut(f"{GRIDS}/alpha.TextGrid"), f"ERROR    {GRIDS}/alpha.TextGrid: declares 2 tiers of"),
    (
        lambda f: (f / GRIDS / "alpha.TextGrid").write_bytes("é".encode("latin-1")),
        f"ERROR    {GRIDS}/alpha.TextGrid: is neither UTF-8 nor UTF-16 text (",
    ),
    (
        lambda f: edit_words(f, lambda tier: re.sub(r'text = ".*"', 'text = "sp"', tier)),
        f"ERROR    {GRIDS}/alpha.TextGrid: holds no words, only silences and noises",
    ),
    (
        lambda f: edit_words(f, replace_word(2, "cafÃ©")),
        f"WARNING  {GRIDS}/alpha.TextGrid: `cafã©` at 0.",
    ),
]


@pytest.mark.parametrize(("damage", "line"), FAULTS)
def test_a_fault_is_named_with_its_file(own_copy, report, damage, line):
    damage(own_copy)
    fine, lines = report(own_copy, only_problems=True)
    assert any(line in printed for printed in lines), "\n".join(lines)
    assert fine == (not any(printed.startswith("ERROR") for printed in lines))
    if line.startswith("ERROR"):
        assert not fine


def shifted(number, seconds):
    """Move the onset and offset of one interval of the words tier, so that it overlaps or changes places."""

    def change(tier):
        parts = tier.split("intervals [")
        lines = parts[number].split("\n")
        for i in (1, 2):
            name, value = lines[i].split(" = ")
            lines[i] = f"{name} = {float(value) + seconds:.3f} "
        parts[number] = "\n".join(lines)
        return "intervals [".join(parts)

    return change


def test_words_out_of_order_and_beyond_the_sound(own_copy, report):
    edit_words(own_copy, shifted(6, -0.2), "alpha")
    edit_words(own_copy, shifted(7, 9.0), "beta")
    edit_words(own_copy, lambda tier: re.sub(r"xmax = \S+", "xmax = 1", tier, count=1), "gamma")
    _, lines = report(own_copy, only_problems=True)
    errors = [line for line in lines if line.startswith("ERROR")]
    assert "alpha.TextGrid: tier `word` is not in order of time" in errors[0]
    assert "beta.TextGrid: tier `word` is not in order of time" in errors[1]
    assert re.search(r"gamma.TextGrid: tier `word`: `.*` ends at 1.* s, beyond the sound \(1 s\)", errors[2])


def test_words_beyond_the_run_and_long_silence(own_copy, report):
    scans = json.loads((own_copy / "derivative/respdict.json").read_text())
    edit_scans(own_copy, alpha=30, beta=scans["beta"] + 100)
    _, lines = report(own_copy, only_problems=True)
    assert any("alpha.TextGrid: " in line and "words end after the scanner stopped, at 50 s" in line for line in lines)
    assert any("beta.TextGrid: the last word is at" in line and "long before the end of the" in line for line in lines)


def replace_words(folder, *labels, story="alpha"):
    """Give the first words of a story other labels, in their places."""

    def change(tier):
        spoken = iter(labels)
        return re.sub(r'text = "(?!sp")[^"]*"', lambda match: f'text = "{next(spoken, match[0][8:-1])}"', tier)

    edit_words(folder, change, story)


def test_the_tier_its_marks_and_odd_labels_are_named(own_copy, report):
    replace_words(own_copy, "<unk>", "[noise]", "<UNK>", "a=b", "a=b", "*no*")
    replace_words(own_copy, "{NS}", story="beta")
    _, lines = report(own_copy)
    (alpha,) = [line for line in lines if "alpha.TextGrid" in line]
    assert alpha.startswith(f"WARNING  {GRIDS}/alpha.TextGrid: odd labels, read as words: `a=b` 2, `*no*` 1; ")
    assert alpha.endswith("dataset.marks (tier `word`)")
    (beta,) = [line for line in lines if "beta.TextGrid" in line]
    assert re.search(r"179 words from .*; \d+ marks are no words: `sp` \d+, `\{ns\}` 1 \(tier `word`\)$", beta)


def test_tiers_that_are_doubtful(own_copy, report):
    path = own_copy / GRIDS / "alpha.TextGrid"
    path.write_text(path.read_text().replace('name = "word"', 'name = "Ann"'))
    edit_words(own_copy, lambda tier: re.sub(r'text = "(?!sp")[^"]*"', 'text = "We flew a kite"', tier), "beta")
    fine, lines = report(own_copy, only_problems=True)
    assert not fine
    assert any("WARNING  derivative/TextGrids/alpha.TextGrid: tier `Ann` is taken" in line for line in lines)
    (beta,) = [line for line in lines if "beta.TextGrid: " in line and "ERROR" in line]
    assert "tier `word` holds utterances, not words, as in `We flew a kite`; its tiers: 1 `phone` (" in beta


def test_a_tiny_overlap_is_a_warning_and_a_start_before_zero_too(own_copy, report):
    edit_words(own_copy, shifted(8, -0.04), "alpha")
    edit_words(
        own_copy, lambda tier: re.sub(r"xmin = 0(\.0+)? ", "xmin = -1 ", tier).replace('"sp"', '"well"', 1), "beta"
    )
    _, lines = report(own_copy, only_problems=True)
    assert not any(line.startswith("ERROR") and ".TextGrid" in line for line in lines), lines
    assert any("alpha.TextGrid: `" in line and "overlaps the word before it" in line for line in lines), lines
    assert any("beta.TextGrid: `well` at -1 s starts before time 0; it stays there" in line for line in lines), lines


def test_the_settings_of_params_yaml_are_used(own_copy, report, monkeypatch):
    replace_words(own_copy, "a=b", "a=b")
    path = own_copy / GRIDS / "beta.TextGrid"
    text = re.sub(r'text = "[A-Z]"', 'text = "HELLO"', path.read_text())
    path.write_text(text.replace('name = "phone"', 'name = "Bob - words"'))
    params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    params["dataset"] |= {"path": str(own_copy), "marks": ["a=b"], "words_tier": "word"}
    monkeypatch.chdir(own_copy)
    assert not report(own_copy)[0]
    (own_copy / "params.yaml").write_text(yaml.safe_dump(params))
    _, lines = report(own_copy)
    assert any("alpha.TextGrid: 178 words" in line and "`a=b` 2" in line for line in lines)
    assert any("beta.TextGrid: 180 words" in line for line in lines)


def test_the_tier_of_words_is_named_beside_other_warnings(own_copy, report):
    path = own_copy / GRIDS / "alpha.TextGrid"
    path.write_text(re.sub(r"intervals: size = \d+", "intervals: size = 2", path.read_text(), count=1))
    _, lines = report(own_copy)
    (alpha,) = [line for line in lines if "alpha.TextGrid" in line]
    assert re.search(
        r"tier `phone` declares 2 intervals, but \d+ are there; all are read \(words: tier `word`\)$", alpha
    )
