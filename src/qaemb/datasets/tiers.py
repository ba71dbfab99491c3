"""Which tier of a TextGrid holds the words: told from what aligners call it, else from its labels, or by a setting.

MFA writes `words`, `Ann - words` or `words - Ann`, FAVE and P2FA `Ann - word` and `word`, WebMAUS `ORT-MAU` or `ORT`
(`KAN-MAU` and `MAU` are canonical forms and phones), TIMIT's transcripts `WRD` and `PHN`, SPPAS `TokensAlign`. A tier
of phones, syllables or utterances is never taken for the words because of its place.
"""

from __future__ import annotations

import re
import unicodedata
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median

from qaemb.datasets.praat import Tier
from qaemb.datasets.words import LabelRules, are_utterances, clean_word
from qaemb.errors import BadInput


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Parts of a name that say "words", in the languages that corpora are named in.
_WORDS = _names(
    "word words wrd wrds wd wds ort mot mots wort worte wörter woerter palabra palabras parola parole palavra palavras "
    "woord woorden ord slovo slova слово слова kelime token tokens 词 詞 单词 単語 단어"
)
_PHONES = re.compile("phon.*|phn|fon.*|ph|mau|kan|mas|syl.*|silben?|s[ií]laba?s?|laute?|ipa|x?sampa|arpabet|segments?")
# Parts that make something else of a word tier: `word class`, `content words`, `word count`, `pseudo words`.
_OTHER = _names(
    "class classes pos tag tags stress tone tones count counts freq frequency id ids index lemma gloss translation "
    "non pseudo content function key stop target duration rate type types number onset onsets boundary boundaries"
)
_AFFIXES = _names("tier level segmentation alignment aligned align interval intervals the all mau")
_ARPABET = _names(
    "aa ae ah ao aw ax axr ay b ch d dh dx eh el em en er ey f g hh hv ih ix iy jh k l m n ng nx ow oy p q r s sh t th "
    "uh uw ux v w y z zh bcl dcl gcl kcl pcl tcl epi"
)
_IPA = re.compile("[ɑɐɒɓʙβɔɕɖʤəɘɚɛɜɝɞɟʄɡɠɢʛɦɧʜɨɪʝɭɬɫɮʟɱɯɰŋɳɲɴɵɸɶʘɹɺɾɻʀʁɽʂʃʈʧʉʊʋʌɣɤʍχʎʏʑʐʒʔʡʕʢːˈˌʲʷʰˠ̃]")
_SAMPA = re.compile(r"[@{}\\:]|[a-z~][A-Z0-9]")
_WIDE_SCRIPT = re.compile("[\u0e00-\u0eff\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_LONGEST_MEDIAN_S = 1.5
_POINTS = "should hold the words as intervals, but holds points"


def choose_tiers(path: Path, tiers: list[Tier], rules: LabelRules) -> tuple[list[Tier], list[str]]:
    """Return the tiers that hold the words, one unless the rules join several, and notes on the choice.

    BadInput lists the tiers and the setting if none or several can be meant, or the tier holds points or utterances.
    """
    if rules.tiers:
        return _by_setting(path, tiers, rules)
    named = [tier for tier in tiers if _is_words_name(tier.name)]
    problems = {id(tier): _content_problem(tier, rules) for tier in named}
    fitting = [tier for tier in named if problems[id(tier)] is None and _labels(tier, rules)]
    if len(fitting) == 1:
        return fitting, _others_like_words(tiers, fitting[0], rules)
    if len(fitting) > 1:
        raise BadInput(
            f"{path}: {len(fitting)} tiers may hold the words; {_listing(tiers, rules)}; set dataset.words_tier to the "
            "name of one, or to a list to join them"
        )
    unfit = [tier for tier in named if problems[id(tier)] is not None]
    if unfit:
        raise BadInput(f"{path}: tier `{unfit[0].name}` {problems[id(unfit[0])]}; {_listing(tiers, rules)}")
    if named:  # only silences and noises: the caller says so
        return named[:1], []
    return _by_labels(path, tiers, rules)


def _by_setting(path: Path, tiers: list[Tier], rules: LabelRules) -> tuple[list[Tier], list[str]]:
    selected: list[Tier] = []
    notes = []
    for name in rules.tiers:
        matches = _matching(tiers, name)
        if not matches:
            notes.append(f"no tier is called `{name}`, which dataset.words_tier names")
        selected += [tier for tier in matches if not any(tier is other for other in selected)]
    if not selected:
        raise BadInput(f"{path}: {notes[0]}; {_listing(tiers, rules)}")
    for tier in selected:
        if not tier.is_intervals:
            raise BadInput(f"{path}: tier `{tier.name}` {_POINTS}; {_listing(tiers, rules)}")
        if are_utterances(_labels(tier, rules)):
            raise BadInput(f"{path}: tier `{tier.name}` {_content_problem(tier, rules)}; {_listing(tiers, rules)}")
    return selected, notes


def _matching(tiers: list[Tier], name: str | int) -> list[Tier]:
    """Return the tiers with this number or name; without any, those whose name is alike or fits it as a pattern."""
    if isinstance(name, int):
        return tiers[name - 1 : name] if name > 0 else []
    exact = [tier for tier in tiers if tier.name == name]
    alike = exact or [tier for tier in tiers if _plain(tier.name) == _plain(name)]
    return alike or [tier for tier in tiers if fnmatchcase(_plain(tier.name), _plain(name))]


def _by_labels(path: Path, tiers: list[Tier], rules: LabelRules) -> tuple[list[Tier], list[str]]:
    alike = [tier for tier in tiers if _looks_like_words(tier, rules)]
    listing = _listing(tiers, rules)
    if len(alike) != 1:
        raise BadInput(
            f"{path} has no tier of words: none is named as aligners name it, and the labels of "
            f"{'several' if alike else 'none'} look like words; {listing}; dataset.words_tier can name one"
        )
    return alike, [
        f"tier `{alike[0].name}` is taken for the words because of its labels, not of its name; {listing}; "
        "dataset.words_tier can name another"
    ]


def _others_like_words(tiers: list[Tier], words: Tier, rules: LabelRules) -> list[str]:
    """Return a note on other tiers whose labels look like words: another speaker may be lost."""
    names = [f"`{tier.name}`" for tier in tiers if tier is not words and _looks_like_words(tier, rules)]
    if not names:
        return []
    return [
        f"tier `{words.name}` is taken for the words; {', '.join(names)} may hold words, too, and "
        f"{'is' if len(names) == 1 else 'are'} not read (dataset.words_tier names or joins tiers)"
    ]


def _plain(name: str) -> str:
    """Return a name without case, quotes and outer blanks."""
    name = unicodedata.normalize("NFKC", name).strip().strip("\"'`“”„‘’«»").strip()
    return re.sub(r"\s+", " ", name).casefold()


def _parts(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", name.strip())
    return [part for part in re.split(r"[\W_]+", _plain(spaced)) if part and not part.isdigit()]


def _is_phones_name(name: str) -> bool:
    parts = _parts(name)
    return "ort" not in parts and any(_PHONES.fullmatch(part) for part in parts)


def _is_words_name(name: str) -> bool:
    """Return whether a name says that a tier holds words, as `Ann - words`, `words (Ann)`, `X/word`, `ORT-MAU` do."""
    if _OTHER.intersection(_parts(name)):
        return False
    sides = [_without_affixes(side) for side in re.split(r"\s-\s|[/|:]", name)]
    if len(sides) > 1 and any(len(side) == 1 and side[0] in _WORDS for side in (sides[0], sides[-1])):
        return not any(side[:1] in (["phone"], ["phones"], ["phn"]) for side in sides)  # the rest is a speaker's name
    parts = _without_affixes(name)
    return not _is_phones_name(name) and bool(parts) and (parts[0] in _WORDS or parts[-1] in _WORDS)


def _without_affixes(name: str) -> list[str]:
    return [part for part in _parts(name) if part not in _AFFIXES]


def _labels(tier: Tier, rules: LabelRules) -> list[str]:
    """Return the labels of a tier that are no marks, as they stand."""
    return [label for *_, label in tier.entries if clean_word(label, rules)]


def _content_problem(tier: Tier, rules: LabelRules) -> str | None:
    """Return why a tier named as one of words can't hold them; None if it can."""
    labels = _labels(tier, rules)
    if not tier.is_intervals:
        return _POINTS
    if are_utterances(labels):
        return f"holds utterances, not words, as in `{max(labels, key=len)[:40]}`"
    if len(labels) >= 10 and _are_phones(labels) and sum(map(len, labels)) < 1.8 * len(labels):
        return f"holds what looks like phones, as in `{' '.join(labels[:6])}`"
    return None


def _are_phones(labels: list[str]) -> bool:
    """Return whether labels are mostly ARPABET, IPA or other signs of one to three letters, in an alphabetic script."""
    if sum(bool(_WIDE_SCRIPT.search(label)) for label in labels) > len(labels) / 2:
        return False
    bare = [re.sub(r"[0-2]$", "", label.lower()) for label in labels]
    n_arpabet = sum(label in _ARPABET for label in bare)
    n_stressed = sum(bool(re.fullmatch(r"[A-Za-z]{2}[0-2]", label)) for label in labels)
    n_short = sum(len(label) <= 3 for label in labels)
    mean_length = sum(map(len, labels)) / len(labels)
    share = 0.8 * len(labels)
    return n_arpabet >= share or n_stressed > len(labels) / 4 or (n_short >= share and mean_length <= 2.2)


def _are_phonetic(labels: list[str]) -> bool:
    """Return whether at least a fifth of the labels hold signs of IPA or SAMPA: canonical forms or syllables."""
    return sum(bool(_IPA.search(label) or _SAMPA.search(label)) for label in labels) >= 0.2 * len(labels)


def _looks_like_words(tier: Tier, rules: LabelRules) -> bool:
    labels = _labels(tier, rules)
    if not tier.is_intervals or not labels or _is_phones_name(tier.name) or _OTHER.intersection(_parts(tier.name)):
        return False
    lengths = [end - start for start, end, label in tier.entries if clean_word(label, rules)]
    n_several = sum(" " in label for label in labels)
    first = labels[:300]
    is_varied = len(first) < 30 or len(set(first)) >= 8  # word classes and speakers' names are not
    return (
        is_varied
        and sum(any(letter.isalpha() for letter in label) for label in labels) > 0.8 * len(labels)
        and n_several <= len(labels) / 5
        and not are_utterances(labels)
        and median(lengths) <= _LONGEST_MEDIAN_S
        and not _are_phones(labels)
        and not _are_phonetic(labels)
    )


def _listing(tiers: list[Tier], rules: LabelRules) -> str:
    """Return the tiers with what they seem to hold, for messages."""
    parts = []
    for number, tier in enumerate(tiers, start=1):
        labels = _labels(tier, rules)
        kind = "labels" if tier.is_intervals else "points"
        seems = ""
        if labels and tier.is_intervals:
            seems = " like utterances" if are_utterances(labels) else " like phones" if _are_phones(labels) else ""
        parts.append(f"{number} `{tier.name}` ({len(labels)} {kind}{seems})")
    return f"its tiers: {', '.join(parts)}" if parts else "it has no tiers"
