import pytest

from qaemb.datasets.miniature.stories import _read_story, read_properties, read_stories
from qaemb.errors import BadInput

GOOD = """# A title

"Don't go," said Anna -- twice, at twenty-two o'clock. || speech time
We went. || -

Nobody's there! || negation
"""


def write(tmp_path, text, name="tale.txt"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_words_pauses_properties_and_paragraphs(tmp_path):
    story = _read_story(write(tmp_path, GOOD), ["speech", "time", "negation"])
    assert (story.name, story.title) == ("tale", "A title")
    first = story.sentences[0]
    assert first.text == "\"Don't go,\" said Anna -- twice, at twenty-two o'clock."
    assert first.words == ["don't", "go", "said", "anna", "twice", "at", "twenty", "two", "o'clock"]
    assert first.pauses == [False, True, False, True, True, False, False, False, True]
    assert [sentence.properties for sentence in story.sentences] == [{"speech", "time"}, set(), {"negation"}]
    assert [sentence.ends_paragraph for sentence in story.sentences] == [False, True, True]
    assert len(story.words) == 13


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("No title. || -\n", "line 1: the first line should be `# title`"),
        ("", "line 1: the first line"),
        ("#\nA word. || -\n", "line 1: the first line"),
        ("# Title\n\n\n", "line 3: the story is empty"),
        ("# Title\nA word.\n", r"line 2: ` \|\| ` and the properties are missing"),
        ("# Title\nA word. || \n", "line 2: list each true property once"),
        ("# Title\nA word. || time time\n", "line 2: list each true property once"),
        ("# Title\n\nA word. || time\nMore. || tiem\n", "line 4: unknown property `tiem`"),
        ("# Title\nWe were 3. || time\n", "line 2: write numbers as words"),
        ("# Title\n... || -\n", "line 2: the sentence has no words"),
        ("# Title\nA word. || -\nThe br was. || -\n", "line 3: `br` marks a noise"),
    ],
)
def test_errors_name_file_and_line(tmp_path, text, message):
    with pytest.raises(BadInput, match=rf"tale\.txt, {message}"):
        _read_story(write(tmp_path, text), ["time"])


def test_letters_beyond_ascii(tmp_path):
    (tmp_path / "tale.txt").write_bytes("# Title\nA word. || -\nA café. || -\n".encode())
    with pytest.raises(BadInput, match=r"tale\.txt, line 3: not ASCII"):
        _read_story(tmp_path / "tale.txt", [])


def test_a_folder_without_stories(tmp_path):
    with pytest.raises(BadInput, match="holds no story"):
        read_stories(tmp_path, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "should be a list"),
        ("- {id: a}", "entry 1: id, question and rule are needed"),
        ("- [", "not valid YAML"),
        ("- {id: a, question: b, rule: c}\n- {id: a, question: b, rule: c}", "property `a` is there twice"),
    ],
)
def test_wrong_properties(tmp_path, text, message):
    with pytest.raises(BadInput, match=rf"properties\.yaml.*{message}"):
        read_properties(write(tmp_path, text, "properties.yaml"))


def test_missing_properties(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        read_properties(tmp_path / "properties.yaml")
