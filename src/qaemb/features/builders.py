"""How each kind of feature space is made. Each builder reads what it needs through `Inputs` and returns a `Space`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qaemb.arrays import Array, Floats32
from qaemb.errors import BadInput, require_name
from qaemb.features.heads import fit_heads, side_by_side
from qaemb.features.inputs import Inputs, read_approved, read_gold, read_occurrences, read_published
from qaemb.features.placing import filter_spans, filter_to_rows, put_in_rows, sum_in_rows
from qaemb.features.space import Space, zscore
from qaemb.features.static import build_static
from qaemb.files import read_table
from qaemb.stimuli.segments import StoryWords

if TYPE_CHECKING:
    from qaemb.models.vectors import VectorSource

# A zero-width space: the tokenizers of BERT's family drop it, so only the markers around a text are left. The encoder
# refuses blank texts, rightly: elsewhere they are a mistake.
_NOTHING = "\u200b"
_MAX_NAMES = 5  # questions named in an error
_RATE_COLUMNS = ("words", "letters", "frequency")


def _build_qa(inputs: Inputs) -> Space:
    """Return the answers of a job, placed on TRs, or the mean over several jobs; columns carry the questions' names.

    BadMatrix if a matrix was not approved by validation; BadInput if jobs to be averaged differ in their questions.
    """
    if inputs.members:
        return _mean_over_jobs({job: _build_qa(one) for job, one in inputs.members.items()})
    assert inputs.answers is not None
    assert inputs.validation is not None
    table = read_approved(inputs.answers, inputs.validation)
    names = _answered(inputs, [str(name) for name in table.columns if name != "segment_id"])
    values = _VALUES[inputs.space.value](table[names].to_numpy(np.float32))
    return _place(inputs, names, pd.Index(table["segment_id"]), values, np.zeros(len(names), np.float32))


def _answered(inputs: Inputs, names: list[str]) -> list[str]:
    """Return the questions whose mean mass is at least `min_mass`, so not those that a student abstains from."""
    if inputs.space.min_mass == 0:
        return names
    assert inputs.answers is not None
    mass = read_table(inputs.answers / "mass.parquet", names).mean()
    answered = [name for name in names if mass[name] >= inputs.space.min_mass]
    if not answered:
        raise BadInput(f"{inputs.answers}: no question has a mean mass of {inputs.space.min_mass}; lower `min_mass`")
    return answered


def _build_embedding(inputs: Inputs) -> Space:
    """Return the encoder's embedding of each segment, placed on TRs; columns are e000, e001, ...

    For segmentation `tr` a row without words holds the embedding of nothing: silence then has a place of its own in the
    space. Mean r on lebel_pcs (uts03/uts01) is .190/.108 with it, .189/.105 with the story's mean, .189/.104 with
    zeros; the reference is .189/.107.
    """
    from qaemb.models.encoder import Encoder

    assert inputs.model is not None
    return _embedded(inputs, Encoder(inputs.model), nothing=True)


def _build_hidden(inputs: Inputs) -> Space:
    """Return a model's hidden states of each segment at a layer, placed on TRs; columns are e000, e001, ...

    For segmentation `tr` a row without words holds the mean of the story's rows with words, which z-scoring takes to
    about zero: the states of a few odd tokens, or zeros, may lie far from those of any text. The layers that other
    spaces read off the same model and segments come out of the same pass and are kept. BadParameter if the model lacks
    the layer.
    """
    from qaemb.models.hidden import HiddenStates

    assert inputs.model is not None
    spaces = (inputs.space, *inputs.beside)
    first, *others = [(one.layer, one.pooling) for one in spaces if one.layer is not None and one.pooling is not None]
    source = HiddenStates(inputs.model, first, others, inputs.space.dtype)
    return _embedded(inputs, source, nothing=False)


def _build_gold(inputs: Inputs) -> Space:
    """Return gold answers (1 yes, 0 no): each word carries those of its sentence, then Lanczos."""
    names, gold = read_gold(inputs.dataset)
    values = {}
    for name, story in inputs.stories():
        spans = [(first, last) for first, last, _ in story.sentences]
        if name not in gold or len(gold[name]) != len(spans):
            n = len(gold.get(name, []))
            raise BadInput(f"story {name} has {len(spans)} sentences but gold answers for {n}; run `dataset` again")
        values[name] = filter_spans(story, spans, gold[name], inputs.lobes)
    return Space(names, values)


def _build_published(inputs: Inputs) -> Space:
    """Return the columns that the data set publishes per TR, as they are."""
    assert inputs.space.published is not None
    names, published = read_published(inputs.dataset, inputs.space.published)
    values = {}
    for name, story in inputs.stories():
        if name not in published or len(published[name]) != story.n_trs:
            raise BadInput(
                f"story {name} has {story.n_trs} rows, but `{inputs.space.published}` {len(published.get(name, []))}; "
                "run the stage `dataset` again"
            )
        values[name] = published[name]
    return Space(names, values)


def _build_heads(inputs: Inputs) -> Space:
    """Return graded answers to published questions, from the text: heads.py. Columns are those of `published`.

    A TR is answered from the embeddings of the TRs at `offsets` from it.
    """
    assert inputs.space.published is not None
    names, labels = read_published(inputs.dataset, inputs.space.published)
    embedding = _build_embedding(inputs).values
    seen = {story: side_by_side(values, inputs.space.offsets) for story, values in embedding.items()}
    heads = fit_heads(seen, labels, [story for story in inputs.train_names() if story in labels])
    print(f"heads: r {heads.held_out_r:.3f} with held-out labels of `{inputs.space.published}`")
    return Space(names, heads.values, {"held_out_r": heads.held_out_r, "penalty": heads.penalty})


def _build_bag_of_words(inputs: Inputs) -> Space:
    """Return log(1 + count) per TR of the most frequent words of the train stories; columns are `word_WORD`."""
    vocabulary = _most_frequent(_count_words(inputs.train_stories()), inputs.space.n_words)
    values = {name: _bag_of_words(story, vocabulary) for name, story in inputs.stories()}
    return Space([f"word_{word}" for word in vocabulary], values)


def _build_word_rate(inputs: Inputs) -> Space:
    """Return words, letters and mean log word frequency per TR, or those of them that the settings list."""
    columns = inputs.space.columns or list(_RATE_COLUMNS)
    counts = _count_words(inputs.train_stories())
    return Space(columns, {name: _word_rate(story, counts, columns) for name, story in inputs.stories()})


def _mean_over_jobs(spaces: dict[str, Space]) -> Space:
    """Return the mean over jobs of each question's feature, z-scored within its story; names as in the first job.

    Standardising before averaging lets every job count alike, however large its margins are.
    """
    first = next(iter(spaces))
    names = spaces[first].names
    columns = {}
    for job, space in spaces.items():
        differing = [f"`{name}`" for name in (*names, *space.names) if (name in names) != (name in space.names)]
        if differing:
            shown = ", ".join(differing[:_MAX_NAMES]) + (", ..." if len(differing) > _MAX_NAMES else "")
            raise BadInput(
                f"jobs `{first}` and `{job}` can't be averaged: {len(differing)} questions are in one of them only "
                f"({shown}); give both the same question set"
            )
        columns[job] = [space.names.index(name) for name in names]
    values = {}
    for story in spaces[first].values:
        scaled = [zscore(space.values[story][:, columns[job]]) for job, space in spaces.items()]
        values[story] = np.mean(scaled, axis=0).astype(np.float32)
    return Space(names, values)


def _embedded(inputs: Inputs, source: VectorSource, nothing: bool) -> Space:
    """Return a source's vectors of the segments, placed; `nothing`: rows without words hold its vector of nothing."""
    from qaemb.models.vectors import vectors_of

    assert inputs.segments is not None
    table = read_table(inputs.segments / "segments.parquet")
    vectors = vectors_of(source, [*table["text"], *([_NOTHING] if nothing else [])], inputs.vectors)
    names = [f"e{i:03d}" for i in range(vectors.shape[1])]
    empty = vectors[-1] if nothing else None
    return _place(inputs, names, pd.Index(table["segment_id"]), vectors[: len(table)], empty)


def _place(inputs: Inputs, names: list[str], ids: pd.Index, values: Floats32, empty: Floats32 | None) -> Space:
    """Return values per segment (n_segments, features) as rows.

    `empty` fills rows without words (segmentation tr); None: the mean of the story's other rows.
    """
    assert inputs.segments is not None
    assert inputs.segmentation is not None
    occurrences = read_occurrences(inputs.segments, ids)
    placed = {}
    for name, story in inputs.stories():
        if name not in occurrences:
            raise BadInput(f"{inputs.segments} has no segments of story {name}; run the stage `segments` again")
        places = occurrences[name]
        rows = values[places["row"].to_numpy()]
        if inputs.segmentation.kind == "tr":
            filler = rows.mean(axis=0) if empty is None else empty
            placed[name] = put_in_rows(story, places["index"].to_numpy(), rows, filler)
        elif inputs.segmentation.kind == "sentence":
            placed[name] = filter_spans(story, _sentence_spans(inputs, name, story, len(places)), rows, inputs.lobes)
        else:
            placed[name] = filter_to_rows(story, places["time_s"].to_numpy(np.float64), rows, inputs.lobes)
    return Space(names, placed)


def _sentence_spans(inputs: Inputs, name: str, story: StoryWords, expected: int) -> list[tuple[int, int]]:
    """Return first and last word of each sentence, cut again as the stage `segments` cut them."""
    assert inputs.segmentation is not None
    spans = [(first, last) for first, last, _ in story.spans(inputs.segmentation)]
    if len(spans) != expected or spans[-1][1] != len(story.words) - 1:
        raise BadInput(f"{inputs.segments}: the sentences of {name} do not match its words; run `segments` again")
    return spans


def _count_words(stories: Iterable[StoryWords]) -> Counter[str]:
    """Return how often each word, in lower case, stands in the stories."""
    return Counter(word.lower() for story in stories for word in story.words)


def _most_frequent(counts: Counter[str], n_words: int) -> list[str]:
    """Return the `n_words` most frequent words; of equally frequent ones the alphabetically first.

    >>> _most_frequent(Counter("aabbcd"), 3)
    ['a', 'b', 'c']
    """
    return sorted(counts, key=lambda word: (-counts[word], word))[:n_words]


def _bag_of_words(story: StoryWords, vocabulary: list[str]) -> Floats32:
    """Return log(1 + count) of each word of the vocabulary per response row, (n_trs, n_words)."""
    column = {word: i for i, word in enumerate(vocabulary)}
    ones = np.zeros((len(story.words), len(vocabulary)), dtype=np.float32)
    for i, word in enumerate(story.words):
        if word.lower() in column:
            ones[i, column[word.lower()]] = 1.0
    return np.log1p(sum_in_rows(story, ones)).astype(np.float32)


def _word_rate(story: StoryWords, counts: Counter[str], columns: list[str]) -> Floats32:
    """Return nuisance features per response row, (n_trs, len(columns)), in the order of `columns`.

    words: number of words. letters: number of their characters. frequency: mean over the words of log p(word), where
    p = (count + 1) / (total + number of different words + 1) over the train stories, so an unseen word counts as seen
    once; a row without words holds the mean over the train stories' words, which says nothing in either direction.
    BadParameter names an unknown column.
    """
    for column in columns:
        require_name(_RATE_COLUMNS, column, "column", "word_rate")
    logs, mean = _log_frequencies(story, counts)
    letters = [float(len(word)) for word in story.words]
    sums = sum_in_rows(story, np.column_stack([np.ones(len(letters)), letters, logs]))
    has_words = sums[:, 0] > 0
    sums[:, 2] = np.where(has_words, sums[:, 2] / np.maximum(sums[:, 0], 1), mean)
    return sums[:, [_RATE_COLUMNS.index(column) for column in columns]].astype(np.float32)


def _log_frequencies(story: StoryWords, counts: Counter[str]) -> tuple[Array, float]:
    """Return log p of each word of the story, and the mean of log p over the words that were counted."""
    total = counts.total()
    base = np.log(total + len(counts) + 1)
    logs = np.array([np.log(counts[word.lower()] + 1) - base for word in story.words])
    mean = sum(n * (np.log(n + 1) - base) for n in counts.values()) / total
    return logs, float(mean)


_VALUES: dict[str, Callable[[Floats32], Floats32]] = {
    "margin": lambda margin: margin,
    "probability": lambda margin: (0.5 * (1.0 + np.tanh(0.5 * margin))).astype(np.float32),
    "binary": lambda margin: (margin > 0).astype(np.float32),
}

BUILDERS: dict[str, Callable[[Inputs], Space]] = {
    "qa": _build_qa,
    "gold": _build_gold,
    "published": _build_published,
    "heads": _build_heads,
    "embedding": _build_embedding,
    "hidden": _build_hidden,
    "static": build_static,
    "eng1000": build_static,
    "bag_of_words": _build_bag_of_words,
    "word_rate": _build_word_rate,
}
