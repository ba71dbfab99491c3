import pandas as pd
import pytest

from qaemb.errors import BadInput, BadParameter
from qaemb.files import write_table
from qaemb.identity import text_id
from qaemb.settings import SegmentationSettings, Settings
from qaemb.stages.inputs import segments
from qaemb.stimuli.segments import segment_tables
from qaemb.workspace import Workspace

SETTINGS = Settings.model_construct(
    segments={"words1": SegmentationSettings(kind="words", before=1), "sentence": SegmentationSettings(kind="sentence")}
)


@pytest.fixture
def workspace(tmp_path, tables):
    workspace = Workspace(tmp_path)
    for name, table in tables.items():
        write_table(workspace.dataset / f"{name}.parquet", table)
    return workspace


def test_one_segment_per_text_in_order_of_first_occurrence(tables):
    texts, occurrences = segment_tables(**tables, settings=SegmentationSettings(kind="words", before=1))
    assert texts["text"].tolist() == ["so", "so we", "we did", "we went", "went so"]
    assert texts["segment_id"].tolist() == [text_id(text) for text in texts["text"]]
    assert occurrences["story"].tolist() == ["b"] * 3 + ["a"] * 5
    assert occurrences["index"].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert occurrences["index"].dtype == "int32"
    back = occurrences.merge(texts, on="segment_id", how="left", validate="many_to_one")["text"].tolist()
    assert back == ["so", "so we", "we did", "so", "so we", "we went", "went so", "so we"]


def test_sentences_come_from_the_transcript_where_there_is_one(tables):
    texts, occurrences = segment_tables(**tables, settings=SegmentationSettings(kind="sentence", pause_s=0.5))
    assert texts["text"].tolist() == ["so", "we", "did", "So we went.", "So we!"]
    assert occurrences["time_s"].tolist() == pytest.approx([0.2, 1.2, 2.2, 0.75, 2.0])


def test_order_of_the_rows_of_words_does_not_matter(tables):
    settings = SegmentationSettings(kind="tr")
    expected = segment_tables(**tables, settings=settings)
    tables["words"] = tables["words"].sample(frac=1, random_state=0)
    for table, other in zip(segment_tables(**tables, settings=settings), expected, strict=True):
        pd.testing.assert_frame_equal(table, other)


def test_stage(workspace, capsys):
    segments(SETTINGS, workspace, "words1")
    assert capsys.readouterr().out == "segments words1: 5 segments, 8 occurrences\n"
    folder = workspace.segments("words1")
    assert pd.read_parquet(folder / "segments.parquet").columns.tolist() == ["segment_id", "text"]
    occurrences = pd.read_parquet(folder / "occurrences.parquet")
    assert occurrences.columns.tolist() == ["story", "index", "time_s", "segment_id"]


def test_unknown_segmentation(workspace):
    with pytest.raises(BadParameter, match="no segmentation `words9` .* there are: words1, sentence"):
        segments(SETTINGS, workspace, "words9")


def test_a_story_without_words(workspace, tables):
    write_table(workspace.dataset / "words.parquet", tables["words"].query("story == 'b'"))
    with pytest.raises(BadInput, match="story a has no words"):
        segments(SETTINGS, workspace, "words1")
    assert not workspace.segments("words1").exists()


def test_no_data_set(tmp_path):
    with pytest.raises(BadInput, match=r"words\.parquet does not exist"):
        segments(SETTINGS, Workspace(tmp_path), "words1")
