"""The doctor on TextGrids: every kind of fault, made in a generated folder and looked for in the report."""

import json
import re

import pytest

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
