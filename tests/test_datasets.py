"""Data sets as they are found: every kind is recognised and read rightly, every damage is one clear line."""

from __future__ import annotations

import gzip
import os
import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zfcore.data import cifar, idx
from zfcore.data.datasets import HELD_OUT, MOST_SCENES, TRAINING, SceneSource, open_data
from zfcore.data.images import ImageError
from zfcore.data.labelled import Labelled, Subset
from zfcore.data.scenes import CLASSES, make_scenes
from zfcore.data.sources import ArraySource, FolderSource
from zfcore.errors import ZfcoreError


def refusal(path, **options) -> str:
    """The one line with which a path is refused."""
    with pytest.raises(ZfcoreError) as caught:
        open_data(path, **options)
    message = str(caught.value)
    assert message.isprintable()  # so it has no line break
    return message


def random_bytes(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# ---- IDX


def idx_bytes(array: np.ndarray, shape: tuple[int, ...] | None = None, kind: int = 8) -> bytes:
    """An IDX file of an array, whose header says `shape`."""
    shape = array.shape if shape is None else shape
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + array.tobytes()


IMAGES, LABELS = random_bytes(7, 3, 5), np.array([4, 9, 4, 0, 9, 9, 0], np.uint8)
OFFICIAL = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def write_idx(folder, names=OFFICIAL, pack=lambda contents: contents):
    """Seven images to train with and three to test, in files of these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, (IMAGES, LABELS, IMAGES[:3], LABELS[:3]), strict=True):
        (folder / name).write_bytes(pack(idx_bytes(array)))
    return folder


@pytest.fixture
def mnist(tmp_path):
    return write_idx(tmp_path / "mnist")


@pytest.mark.parametrize("pack", [lambda contents: contents, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "names",
    [
        OFFICIAL,
        [f"{name}.gz" for name in OFFICIAL],
        [f"emnist-letters-{name.replace('t10k', 'test')}.gz" for name in OFFICIAL],
        [name.replace("-idx", ".idx") for name in OFFICIAL],
    ],
    ids=["official", "gz", "emnist", "dot"],
)
def test_idx_is_read(tmp_path, names, pack):
    data = open_data(write_idx(tmp_path / "set", names, pack))
    assert (data.kind, data.path, data.notes) == ("IDX", str(tmp_path / "set"), ())
    assert data.classes == ("0", "4", "9") and data.parts.keys() == {"train", "test"}
    for part, count in (("train", 7), ("test", 3)):
        got = data.part(part)
        assert got.grey and got.labels.dtype == np.int64
        assert [got.classes[k] for k in got.labels] == [str(v) for v in LABELS[:count]]
        for i in range(count):
            image = got.source.read(i)
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, np.repeat(IMAGES[i, ..., None], 3, axis=2))


def test_a_file_stands_for_its_set(mnist):
    write_idx(mnist, [f"letters-{name}" for name in OFFICIAL])
    assert "several sets: letters, one without a prefix; give the path of one of the files" in refusal(mnist)
    (mnist / "letters-t10k-images-idx3-ubyte").unlink()
    (mnist / "letters-t10k-labels-idx1-ubyte").unlink()
    assert open_data(mnist / OFFICIAL[3]).parts.keys() == {"train", "test"}
    assert open_data(mnist / "letters-train-labels-idx1-ubyte").parts.keys() == {"train"}


def test_of_a_plain_file_and_its_gzip_the_plain_one_is_read(mnist):
    (mnist / f"{OFFICIAL[0]}.gz").write_bytes(b"nonsense")
    assert open_data(mnist).notes == (f"{OFFICIAL[0]}.gz: left aside, {OFFICIAL[0]} is there, too",)


@pytest.mark.parametrize("missing", OFFICIAL)
def test_idx_with_a_file_missing(mnist, missing):
    (mnist / missing).unlink()
    assert f"needed {missing}, plain or .gz" in refusal(mnist)


@pytest.mark.parametrize(
    ("name", "contents", "reason"),
    [
        (OFFICIAL[0], idx_bytes(IMAGES)[:-1], "cut short: 104 bytes; 7x3x5 after the header needs 105"),
        (OFFICIAL[0], idx_bytes(IMAGES) + b"x", "holds more than its header says"),
        (OFFICIAL[0], gzip.compress(idx_bytes(IMAGES) + b"x"), "holds more than its header says"),
        (OFFICIAL[0], gzip.compress(idx_bytes(IMAGES)[:-30]), "cut short: 75 bytes; 7x3x5"),
        (OFFICIAL[0], gzip.compress(idx_bytes(IMAGES))[:-3], "cut short: 104 bytes"),
        (OFFICIAL[0], gzip.compress(idx_bytes(IMAGES)) + b"xx", "a damaged gzip file"),
        (OFFICIAL[0], b"", "is empty; needed 00 00 08 03, an IDX file of images"),
        (OFFICIAL[0], b"\0\0\x08", "holds 3 bytes"),
        (OFFICIAL[0], b"\0\0\x08\3\0\0", "cut short in its header: 6 bytes, needed 16"),
        (OFFICIAL[0], b"<html>not found</html>", "begins with 3c 68 74 6d; needed 00 00 08 03"),
        (OFFICIAL[0], idx_bytes(LABELS), "begins with 00 00 08 01; needed 00 00 08 03, an IDX file of images"),
        (OFFICIAL[1], idx_bytes(IMAGES), "begins with 00 00 08 03; needed 00 00 08 01, an IDX file of labels"),
        (OFFICIAL[0], idx_bytes(IMAGES, kind=13), "begins with 00 00 0d 03"),
        (OFFICIAL[0], idx_bytes(IMAGES[:0]), "its header says 0x3x5: no image"),
        (OFFICIAL[0], idx_bytes(IMAGES[:, :0]), "its header says 7x0x5: no image"),
        (OFFICIAL[1], idx_bytes(LABELS[:0]), "its header says 0: no label"),
        (OFFICIAL[1], idx_bytes(LABELS[:6]), "6 labels, but train-images-idx3-ubyte has 7 images"),
        (OFFICIAL[3], idx_bytes(np.array([4, 7, 9], np.uint8)), "the label 7, of image 1, is none of training's labels (0, 4, 9)"),
    ],
)
def test_damaged_idx(mnist, name, contents, reason):
    (mnist / name).write_bytes(contents)
    message = refusal(mnist)
    assert message.startswith(f"{mnist / name}: ") and reason in message


@pytest.mark.parametrize("pack", [lambda contents: contents, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (60000, 30000, 30000)])
def test_a_header_that_claims_too_much_takes_no_memory(mnist, shape, pack, monkeypatch):
    (mnist / OFFICIAL[0]).write_bytes(pack(idx_bytes(IMAGES, shape)))
    asked = most_asked_of_the_stream(monkeypatch)
    message = refusal(mnist)
    assert "cut short: 105 bytes" in message or "more than a gzip file of this size can hold" in message
    assert max(asked) <= 12  # the header alone


def test_a_gzip_bomb_is_read_no_further_than_its_header_says(mnist, monkeypatch):
    (mnist / OFFICIAL[0]).write_bytes(gzip.compress(idx_bytes(IMAGES) + bytes(1 << 26)))
    asked = most_asked_of_the_stream(monkeypatch)
    assert "holds more than its header says" in refusal(mnist)
    assert max(asked) == IMAGES.size + 1


def most_asked_of_the_stream(monkeypatch) -> list[int]:
    asked, original = [], idx._at_most
    monkeypatch.setattr(idx, "_at_most", lambda stream, count: (asked.append(count), original(stream, count))[1])
    return asked


@given(data=st.data(), zipped=st.booleans())
def test_idx_cut_anywhere_or_changed_anywhere_is_one_line(tmp_path_factory, data, zipped):
    folder = write_idx(tmp_path_factory.mktemp("idx"), pack=gzip.compress if zipped else bytes)
    path = folder / data.draw(st.sampled_from(OFFICIAL), label="file")
    contents = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(contents) - 1), label="place")
    if data.draw(st.booleans(), label="cut"):
        path.write_bytes(contents[:place])
        with pytest.raises(ImageError):
            open_data(folder)
    else:
        contents[place] ^= data.draw(st.integers(1, 255), label="flip")
        path.write_bytes(contents)
        try:
            open_data(folder)
        except ZfcoreError:
            pass


# ---- CIFAR


def cifar_bytes(labels: list[tuple[int, ...]], seed: int = 0) -> tuple[bytes, np.ndarray]:
    """Records of these label bytes with random images, and the images (N, 32, 32, 3)."""
    images = random_bytes(len(labels), 32, 32, 3, seed=seed)
    return b"".join(bytes(label) + image.transpose(2, 0, 1).tobytes() for label, image in zip(labels, images, strict=True)), images


@pytest.fixture
def cifar10(tmp_path):
    """Batches 1, 2 and 10 of 3, 1 and 2 images, and one to test."""
    for name, labels in {"data_batch_1": (0, 9, 3), "data_batch_10": (1, 1), "data_batch_2": (7,), "test_batch": (5,)}.items():
        (tmp_path / f"{name}.bin").write_bytes(cifar_bytes([(label,) for label in labels], seed=len(name + str(labels)))[0])
    return tmp_path


def test_cifar10_is_read(cifar10):
    data = open_data(cifar10)
    assert (data.kind, data.classes, data.parts.keys()) == ("CIFAR-10", tuple("0123456789"), {"train", "test"})
    train, test = data.part("train"), data.part("test")
    assert train.labels.tolist() == [0, 9, 3, 7, 1, 1] and test.labels.tolist() == [5]  # batch 10 after 2
    assert train.labels.dtype == np.int64 and not train.grey
    assert [train.source.name(i) for i in (0, 3, 5)] == ["data_batch_1.bin 0", "data_batch_2.bin 0", "data_batch_10.bin 1"]
    for (name, record), i in {("data_batch_1.bin", 2): 2, ("data_batch_2.bin", 0): 3}.items():
        planes = np.frombuffer((cifar10 / name).read_bytes(), np.uint8)[3073 * record + 1 :][:3072].reshape(3, 32, 32)
        image = train.source.read(i)
        assert image.shape == (32, 32, 3)
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], planes[channel])


def test_cifar10_names_its_classes(cifar10):
    (cifar10 / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    assert open_data(cifar10 / "test_batch.bin").classes == tuple("abcdefghij")
    (cifar10 / "batches.meta.txt").write_text("a\nb\n")
    assert "holds 2 names, needed 10" in refusal(cifar10)


def test_cifar100_takes_the_fine_labels(tmp_path):
    contents, images = cifar_bytes([(3, 99), (255, 0)])
    (tmp_path / "train.bin").write_bytes(contents)
    data = open_data(tmp_path / "train.bin")
    assert (data.kind, len(data.classes), data.parts.keys()) == ("CIFAR-100", 100, {"train"})
    assert data.part("train").labels.tolist() == [99, 0]
    np.testing.assert_array_equal(data.part("train").source.read(1), images[1])
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"name {i}" for i in range(100)))
    assert open_data(tmp_path).classes[99] == "name 99"
    (tmp_path / "test.bin").write_bytes(cifar_bytes([(0, 100)])[0])
    assert f"{tmp_path / 'test.bin'}: record 0 has the label 100, needed 0 to 99" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (bytes(3073 + 3000), "6,073 bytes are no whole number of records of 3073: 3000 left over"),
        (bytes(2 * 3074), "6,148 bytes are no whole number of records of 3073: 2 left over"),
        (b"", "is empty, needed records of 3073 bytes"),
        (cifar_bytes([(1,), (10,)])[0], "record 1 has the label 10, needed 0 to 9"),
    ],
)
@pytest.mark.parametrize("name", ["data_batch_2.bin", "test_batch.bin"])
def test_damaged_cifar(cifar10, name, contents, reason):
    (cifar10 / name).write_bytes(contents)
    message = refusal(cifar10)
    assert message.startswith(f"{cifar10 / name}: ") and reason in message


def test_cifar_without_training_images(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(cifar_bytes([(1,)])[0])
    assert "no training images; needed data_batch_1.bin" in refusal(tmp_path)


def test_both_cifars_in_one_folder(cifar10):
    (cifar10 / "train.bin").write_bytes(cifar_bytes([(0, 1)])[0])
    assert "several sets: CIFAR-10, CIFAR-100" in refusal(cifar10)
    assert open_data(cifar10 / "train.bin").kind == "CIFAR-100"
    assert open_data(cifar10 / "data_batch_1.bin").kind == "CIFAR-10"


@given(length=st.integers(0, 3 * 3074 - 1), fine=st.booleans())
def test_cifar_cut_anywhere_is_shorter_or_one_line(tmp_path_factory, length, fine):
    variant = cifar.VARIANTS["CIFAR-100" if fine else "CIFAR-10"]
    path = tmp_path_factory.mktemp("cifar") / ("train.bin" if fine else "data_batch_1.bin")
    contents, _ = cifar_bytes([(1,) * variant.label_bytes] * 3)
    path.write_bytes(contents[:length])
    records, left_over = divmod(min(length, len(contents)), variant.record)
    if records and not left_over:
        assert len(open_data(path).part("train")) == records
    else:
        with pytest.raises(ImageError):
            open_data(path)


# ---- class folders


def write_images(folder, names, size=(4, 6), seed=0):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_bytes(*size, 3, seed=1000 * seed + number)).save(folder / name)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "set", ["dog/1.png", "cat/b/2.png", "cat/b/a/1.png", "cat/9.png", "cat/.hidden.png", ".git/1.png"])


@pytest.fixture
def split(tmp_path):
    names = ["train/cat/1.png", "train/dog/1.png", "train/dog/2.png", "val/dog/3.png", "val/cat/3.png", "test/cat/4.png", "test/dog/4.png"]
    return write_images(tmp_path / "split", names)


def test_class_folders_are_read(folder):
    data = open_data(folder)
    assert (data.kind, data.classes, data.notes) == ("folder of class folders", ("cat", "dog"), ())
    train = data.part("train")
    assert [train.source.name(i) for i in range(4)] == ["cat/9.png", "cat/b/2.png", "cat/b/a/1.png", "dog/1.png"]
    assert train.labels.tolist() == [0, 0, 0, 1] and train.labels.dtype == np.int64 and not train.grey
    np.testing.assert_array_equal(train.source.read(3), np.asarray(Image.open(folder / "dog" / "1.png")))


def test_an_empty_class_is_left_out_and_said(folder):
    (folder / "ant" / "inner").mkdir(parents=True)
    (folder / "ant" / "notes.txt").touch()
    data = open_data(folder)
    assert data.classes == ("cat", "dog") and data.part("train").labels.tolist() == [0, 0, 0, 1]
    assert data.notes == ("ant: an empty class, without any image; left out",)


def test_images_beside_the_classes_are_left_out_and_said(folder):
    write_images(folder, ["stray.png", "other.png"])
    data = open_data(folder)
    assert len(data.part("train")) == 4
    assert data.notes == ("images in no class folder, left out: 2, the first other.png",)


def test_one_class_is_none(tmp_path):
    write_images(tmp_path, ["set/cat/1.png", "set/dog/1.png"])
    message = refusal(tmp_path)
    assert "holds one class only, set; needed two or more" in message and f"give {tmp_path / 'set'}" in message


def test_images_without_classes(tmp_path):
    write_images(tmp_path, ["1.png", "2.png"])
    reason = "holds images without classes: 2 lie in the folder itself, the first 1.png; put those of each class into a folder"
    assert reason in refusal(tmp_path)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_parts_in_folders(split, name):
    (split / "val").rename(split / name)
    data = open_data(split)
    assert list(data.parts) == ["train", "validation", "test"] and data.notes == ()
    assert [data.part("validation").source.name(i) for i in range(2)] == ["cat/3.png", "dog/3.png"]
    assert all(part.classes == ("cat", "dog") for part in data.parts.values())
    assert [part.labels.tolist() for part in data.parts.values()] == [[0, 1, 1], [0, 1], [0, 1]]


def test_train_alone_is_a_part(tmp_path):
    data = open_data(write_images(tmp_path, ["train/cat/1.png", "train/dog/1.png"]))
    assert list(data.parts) == ["train"] and data.classes == ("cat", "dog")


def test_a_class_may_be_called_train(tmp_path):
    data = open_data(write_images(tmp_path, ["train/1.png", "bus/1.png", "car/1.png"]))
    assert data.classes == ("bus", "car", "train")


def test_a_class_that_train_lacks(split):
    write_images(split, ["test/cow/1.png"])
    assert f"{split / 'test'}: has images of cow, which {split / 'train'} has none of" in refusal(split)


def test_a_class_that_test_lacks(split):
    os.remove(split / "test" / "cat" / "4.png")
    os.rmdir(split / "test" / "cat")
    os.remove(split / "val" / "cat" / "3.png")
    data = open_data(split)
    assert data.notes == ("validation: cat: an empty class, without any image; left out", "test: no folder for the class cat")
    assert data.part("test").labels.tolist() == [1] and data.part("test").counts.tolist() == [0, 1]


def test_folders_beside_the_parts_are_left_aside(split):
    write_images(split, ["more/1.png"])
    assert open_data(split).notes == ("more: neither train, validation nor test; left aside",)


def test_parts_that_cannot_be(split):
    write_images(split, ["valid/cat/1.png"])
    assert "holds val and valid, both for the part validation" in refusal(split)
    (split / "train").rename(split / ".train")
    assert "holds test, val, valid, but no train" in refusal(split)


def test_validation_images_without_classes(split):
    write_images(split, ["validation/1.png"])
    (split / "val").rename(split / ".val")
    assert f"{split / 'validation'}: holds images without classes: 1 lie in the folder itself" in refusal(split)


def test_links_that_lead_back_do_not_hang(folder):
    (folder / "loop").symlink_to(folder)
    (folder / "up").symlink_to(folder.parent)
    (folder / "cat" / "loop").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "missing")
    (folder / "eternal").symlink_to(folder / "eternal")
    data = open_data(folder)
    assert len(data.part("train")) == 4 and data.classes == ("cat", "dog")
    assert [note.split(":")[0] for note in data.notes] == ["loop", "up"]


def test_linked_classes_are_classes(folder, tmp_path):
    write_images(tmp_path / "elsewhere", ["1.png"])
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    data = open_data(folder)
    assert data.classes == ("cat", "dog", "linked") and data.part("train").source.name(4) == "linked/1.png"


def test_a_class_with_a_name_that_is_no_text(folder):
    os.mkdir(os.path.join(os.fsencode(folder), b"\xff\n"))
    write_images(folder, ["\udcff\n/1.png"])
    data = open_data(folder)
    assert data.classes == ("cat", "dog", "\\udcff\\n") and data.part("train").source.read(4).shape == (4, 6, 3)
    assert data.part("train").source.listing() and data.part("train").source.fingerprint()


def test_images_of_different_sizes_and_damaged_ones_are_found_when_read(folder):
    write_images(folder, ["dog/2.png"], size=(9, 2))
    (folder / "dog" / "3.png").write_bytes(b"nonsense")
    train = open_data(folder).part("train")
    assert train.source.read(4).shape == (9, 2, 3)
    with pytest.raises(ImageError, match=r"dog/3\.png: not an image"):
        train.source.read(5)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read every folder")
@pytest.mark.parametrize("closed", [".", "cat", "cat/b"])
def test_a_folder_that_cannot_be_read(folder, closed):
    (folder / closed).chmod(0)
    try:
        assert "cannot" in refusal(folder)
    finally:
        (folder / closed).chmod(0o755)


# ---- nothing of the kind


def test_what_is_none_of_it(tmp_path):
    assert 'no such file or folder; needed images, or the name "scenes"' in refusal(tmp_path / "missing")
    assert "got an empty path" in refusal("")
    assert "looked for a folder of class folders" in refusal(tmp_path) and "found an empty folder" in refusal(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "inner").mkdir()
    assert "found inner/, notes.txt" in refusal(tmp_path)
    assert "notes.txt: is a file of none of the known names" in refusal(tmp_path / "notes.txt")
    assert "cannot be read: " in refusal(tmp_path / "notes.txt" / "more")
    assert "cannot be read: embedded null byte" in refusal("a\0b").lower()
    os.mkfifo(tmp_path / "pipe")
    assert "a device or a pipe" in refusal(tmp_path / "pipe")


def test_cifars_python_version_is_known(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}")
    assert "Python version (pickles); fetch the binary version" in refusal(tmp_path)


# ---- scenes


def test_scenes_are_drawn_as_they_are_read():
    data = open_data("scenes", seed=3)
    train, test = data.part("train"), data.part("test")
    assert data.kind == "built-in scenes" and data.classes == CLASSES and (len(train), len(test)) == (TRAINING, HELD_OUT)
    for part, start in ((train, 0), (test, MOST_SCENES)):
        ref = make_scenes(12, 3, start)
        np.testing.assert_array_equal(part.labels[:12], ref.labels)
        for i in (0, 11):
            np.testing.assert_array_equal(part.source.read(i), ref.images[i])
            assert part.source.name(i) == f"{CLASSES[ref.labels[i]]} {start + i}"


def test_any_number_of_scenes():
    data = open_data("scenes:123")
    assert (len(data.part("train")), len(data.part("test"))) == (123, HELD_OUT)
    np.testing.assert_array_equal(data.part("test").source.read(0), make_scenes(1, 0, MOST_SCENES).images[0])
    assert data.part("test").classes[data.part("test").labels[0]] == data.part("test").source.name(0).split()[0]


@pytest.mark.parametrize("number", ["", "9", "-20", "1e3", "many", "10000001", "9" * 5000])
def test_numbers_of_scenes_that_cannot_be(number):
    assert "needed scenes:N, with N training images, 10 to 10,000,000" in refusal(f"scenes:{number}")


def test_a_seed_that_cannot_be():
    assert "seed: got -1" in refusal("scenes", seed=-1)


def test_a_folder_of_the_name_scenes(folder, monkeypatch):
    folder.rename(folder.parent / "scenes")
    monkeypatch.chdir(folder.parent)
    assert open_data("./scenes").classes == ("cat", "dog")
    found = open_data("scenes")
    assert found.kind == "built-in scenes" and found.notes == ("drawn by program; the folder scenes here is given as ./scenes",)


# ---- listings, and images out of range


def test_a_listing_knows_names_and_sizes(folder):
    source = open_data(folder).part("train").source
    before = source.listing()
    assert before == open_data(folder).part("train").source.listing() == FolderSource(folder, source.paths).listing()
    with open(folder / "dog" / "1.png", "ab") as file:
        file.write(b"x")
    longer = source.listing()
    (folder / "dog" / "1.png").rename(folder / "dog" / "2.png")
    assert len({before, longer, source.listing(), open_data(folder).part("train").source.listing()}) == 4


def test_listings_of_what_is_in_memory(mnist):
    sources = [ArraySource(IMAGES[..., None]), ArraySource(IMAGES[::-1, ..., None]), SceneSource(12, 0, 0), SceneSource(12, 1, 0)]
    sources += [SceneSource(12, 0, 1), SceneSource(13, 0, 0), open_data(mnist).part("train").source]
    sources += [Subset(sources[0], [0, 1]), Subset(sources[0], [1, 0]), Subset(sources[1], [0, 1])]
    for method in ("listing", "fingerprint"):
        assert len({getattr(source, method)() for source in sources}) == len(sources)
    assert SceneSource(12, 0, 0).listing() == SceneSource(12, 0, 0).listing()


def test_labels_out_of_range_are_named():
    with pytest.raises(ZfcoreError, match="digits: image 2 has the label 3, needed 0 to 2"):
        Labelled(ArraySource(IMAGES[..., None], described="digits"), np.array([0, 1, 3, 2, 0, 0, 0]), ("a", "b", "c"))


# ---- what others published


def test_published_sets(shared_data):
    digits = open_data(shared_data / "mnist")
    assert (digits.kind, len(digits.part("train")), len(digits.part("test")), len(digits.classes)) == ("IDX", 60000, 10000, 10)
    assert digits.part("train").labels[:5].tolist() == [5, 0, 4, 1, 9]
    cifar10 = open_data(shared_data / "cifar10")
    assert (len(cifar10.part("train")), len(cifar10.part("test")), cifar10.classes[0]) == (10000, 2000, "airplane")
    caltech = open_data(shared_data / "caltech20")
    assert Counter(caltech.part("train").counts.tolist()) == {50: 20}
