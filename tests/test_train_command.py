"""`zfcore train`: a run is the same bits however often it is stopped, and whatever is wrong is one line that overwrites nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zfcore
from zfcore import ZfcoreError, files, zoo
from zfcore.cli import main
from zfcore.data import sources
from zfcore.data.images import ImageError, read_image
from zfcore.data.scenes import CLASSES, make_scenes
from zfcore.experiments import sitting, train
from zfcore.training import RECIPES, frames
from zfcore.training.runs import Run

ARCH = "zfnet-28"
RECIPE = replace(RECIPES["small"], epochs=3, batch=10, validation=0.2, frame=32)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of class folders: 20 pictures of each of 3 classes, in two sizes."""
    root = tmp_path_factory.mktemp("images")
    scenes = make_scenes(200, 7)
    for label in range(3):
        folder = root / CLASSES[label]
        folder.mkdir()
        for n, i in enumerate(np.flatnonzero(scenes.labels == label)):
            image = Image.fromarray(scenes.images[i])
            (image if n % 2 else image.resize((48, 40))).save(folder / f"{n:02}.png")
    return root


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    train.run(images, ARCH, out, RECIPE)
    return out


def checkpoints(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


def interrupted(step: int, monkeypatch):
    """From here on the step of that number, of the sitting, ends in Ctrl-C."""
    steps = sitting.train

    def pressing(*arguments):
        taken = 0
        for epoch in steps(*arguments):
            taken += epoch is None
            if taken == step:
                os.kill(os.getpid(), signal.SIGINT)
            yield epoch

    monkeypatch.setattr(sitting, "train", pressing)


# ---- what a run leaves


def test_leaves_what_it_promises(finished):
    names = {path.name for path in finished.iterdir()}
    epochs = {f"epoch-{n:04}.safetensors" for n in (1, 2, 3)}
    assert names == {"run.json", "split.npz", "metrics.jsonl", "curves.png", "best.safetensors", *epochs}
    Image.open(finished / "curves.png").load()
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3] and all(line["images_per_second"] > 0 for line in lines)
    best = min(lines, key=lambda line: (line["validation_error"], line["number"]))
    assert (finished / "best.safetensors").read_bytes() == (finished / f"epoch-{best['number']:04}.safetensors").read_bytes()


def test_a_checkpoint_is_a_network_that_sees_as_the_run_did(finished, images):
    run = Run.open(finished)
    net = zfcore.load(run.checkpoint(3))
    assert net.classes == tuple(sorted(path.name for path in images.iterdir())) and net.name == ARCH
    data, training, validation = train.split(train.open_data(images), RECIPE)
    assert np.array_equal(training, run.training) and np.array_equal(validation, run.validation)
    wrong = [int(net(net.preprocessing(data.source.read(i))[None]).argmax() != data.labels[i]) for i in validation]
    history = json.loads((finished / "metrics.jsonl").read_text().splitlines()[-1])
    assert history["validation_error"] == np.mean(wrong)
    whole = np.stack([run.frame.pixels(data.source.read(i)) for i in training])
    assert np.array_equal(net.preprocessing.mean, whole.mean(axis=0, dtype=np.float64)[:, 2:30, 2:30])


def test_a_split_takes_every_class_alike(finished, images):
    run, data = Run.open(finished), train.open_data(images).part("train")
    assert np.bincount(data.labels[run.validation]).tolist() == [4, 4, 4]
    assert sorted([*run.training, *run.validation]) == list(range(60))


def test_every_choice_is_said(images, tmp_path, capsys):
    assert main(["train", "--data", str(images), "--arch", ARCH, "--epochs", "1", "--batch", "16", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'run' / 'best.safetensors'}\n"
    for words in ("epochs 1 (the paper: 70)", "momentum 0.9 (stated by the paper)", "patience 3 (open in the paper)", "validation error"):
        assert words in said.err


def test_keeps_the_epochs_asked_for(images, tmp_path, monkeypatch):
    """Also where the run was stopped and taken up."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupted(10, patch)
        with pytest.raises(KeyboardInterrupt):
            train.run(images, ARCH, out, RECIPE, keep=[1])
    assert Run.open(out).epochs() == [1, 2]
    train.resume(out)
    assert Run.open(out).epochs() == [1, 3]


def test_no_crop_no_flip_and_a_part_of_its_own_for_validation(images, tmp_path):
    for part in ("train", "val"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for folder in images.iterdir():
        (tmp_path / "data" / "train" / folder.name).symlink_to(folder)
        (tmp_path / "data" / "val" / folder.name).mkdir()
        for path in sorted(folder.iterdir())[:3]:
            (tmp_path / "data" / "val" / folder.name / path.name).write_bytes(path.read_bytes())
    train.run(tmp_path / "data", ARCH, tmp_path / "run", replace(RECIPE, epochs=1, frame=28, flip=False, crops="centre"))
    run = Run.open(tmp_path / "run")
    assert len(run.training) == 60 and run.validation.tolist() == list(range(60, 69))


# ---- stopped and taken up


@pytest.mark.parametrize("step", [1, 4, 6, 12])
def test_ctrl_c_after_any_step_and_resume_give_the_same_bits(images, finished, tmp_path, monkeypatch, capsys, step):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupted(step, patch)
        with pytest.raises(KeyboardInterrupt, match=rf"stopped: {step} of 12 steps are saved; zfcore train --resume"):
            train.run(images, ARCH, out, RECIPE)
    train.resume(out)
    assert f"{step} of 12 steps were taken before" in capsys.readouterr().err
    assert checkpoints(out) == checkpoints(finished)


def test_stopped_while_a_file_is_written(images, finished, tmp_path, monkeypatch):
    """At every writing of a run: a kill leaves what was there before, and the run goes on from it."""
    writings = []
    whole = files.os.replace

    def killing(allowed):
        def replaced(*arguments):
            writings.append(arguments)
            if len(writings) == allowed:
                raise SystemExit("killed")
            whole(*arguments)

        return replaced

    out = tmp_path / "run"
    for allowed in range(3, 14, 2):
        writings.clear()
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "replace", killing(allowed))
            try:
                train.resume(out) if out.exists() else train.run(images, ARCH, out, RECIPE)
            except SystemExit:
                pass
    train.resume(out)
    assert checkpoints(out) == checkpoints(finished)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_finished_run_stays_as_it_is(finished):
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    train.resume(finished)
    after = {path.name: path.read_bytes() for path in finished.iterdir()}
    assert {n for n in before if before[n] != after[n]} <= {"curves.png"} and before.keys() == after.keys()


def test_images_that_do_not_fit_into_memory_give_the_same_bits(images, finished, tmp_path, monkeypatch, capsys):
    """Read again every epoch; and taken up without reading all of them first."""
    out = tmp_path / "run"
    monkeypatch.setattr(frames, "KEPT_BYTES", 1000)
    with monkeypatch.context() as patch:
        interrupted(6, patch)
        with pytest.raises(KeyboardInterrupt):
            train.run(images, ARCH, out, RECIPE)
    assert "read again every epoch" in capsys.readouterr().err
    monkeypatch.setattr(train, "gathered", None)
    gone = sorted(images.rglob("*.png"))[25]
    with monkeypatch.context() as patch:
        patch.setattr(sources, "read_image", failing_on(gone))
        with pytest.raises(ZfcoreError, match=rf"{gone.name}: gone; \d+ of 12 steps are saved; zfcore train --resume"):
            train.resume(out)
    assert (out / "latest.safetensors").exists() or Run.open(out).epochs()
    train.resume(out)
    assert checkpoints(out) == checkpoints(finished)


def failing_on(path):
    def read(asked):
        if Path(asked) == path:
            raise ImageError(asked, "gone")
        return read_image(asked)

    return read


def test_kill_9(images, finished, tmp_path):
    """The process itself, killed after its first checkpoint and resumed with another number of threads."""
    out = tmp_path / "run"
    command = [sys.executable, "-c", "import sys; from zfcore.cli import main; sys.exit(main())", "train"]
    options = ["--recipe", "small", "--epochs", "3", "--batch", "10", "--validation", "0.2", "--frame", "32"]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    begun = [*command, "--data", str(images), "--arch", ARCH, "--out", str(out), *options, "--threads", "1"]
    with subprocess.Popen(begun, env=environment, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 120
        while not (out / "epoch-0001.safetensors").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL and not (out / "epoch-0003.safetensors").exists()
    again = subprocess.run([*command, "--resume", str(out)], env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert checkpoints(out) == checkpoints(finished)


def test_a_full_disk_loses_nothing(images, finished, tmp_path, monkeypatch):
    out = tmp_path / "run"
    synced = files.os.fsync
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(ZfcoreError, match="cannot be written: No space left on device"):
            train.run(images, ARCH, out, RECIPE)
    assert Run.open(out).epochs() and not list(out.glob(".*"))
    train.resume(out)
    assert checkpoints(out) == checkpoints(finished)


def test_one_process_trains_a_run(finished, tmp_path):
    out = tmp_path / "run"
    broken_run("", out, finished)
    (out / "epoch-0003.safetensors").unlink()
    (out / ".latest.safetensors.1.part").write_bytes(b"half")
    with Run.open(out).alone(), pytest.raises(ZfcoreError, match="another process is training this run"):
        train.resume(out)
    train.resume(out)
    assert not list(out.glob(".*"))


# ---- names of any kind


def test_classes_and_data_of_any_name(images, tmp_path):
    data = tmp_path / "a$\\foo$b 照片"
    for n, folder in enumerate(sorted(images.iterdir())):
        (data / "\t\u00a0\udcffx"[: n + 1]).mkdir(parents=True)
        for path in folder.iterdir():
            (data / "\t\u00a0\udcffx"[: n + 1] / path.name).write_bytes(path.read_bytes())
    run = train.run(data, ARCH, tmp_path / "run", replace(RECIPE, epochs=1))
    assert zfcore.load(run.best).classes == ("\\t", "\\t\\xa0", "\\t\\xa0\\udcff")
    train.resume(tmp_path / "run")


def test_changed_labels_are_noticed(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    write_idx(tmp_path / "data", rng.integers(0, 256, (40, 28, 28)), labels)
    train.run(tmp_path / "data", ARCH, tmp_path / "run", replace(RECIPE, epochs=1))
    (tmp_path / "run" / "epoch-0001.safetensors").unlink()
    train.resume(tmp_path / "run")
    (tmp_path / "run" / "epoch-0001.safetensors").unlink()
    write_idx(tmp_path / "data", rng.integers(0, 256, (40, 28, 28)), labels)
    with pytest.raises(ZfcoreError, match="not the data that"):
        train.resume(tmp_path / "run")
    write_idx(tmp_path / "data", np.random.default_rng(0).integers(0, 256, (40, 28, 28)), labels[::-1])
    with pytest.raises(ZfcoreError, match="not the data that"):
        train.resume(tmp_path / "run")


def write_idx(folder: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    for name, array in (("train-images-idx3-ubyte", pixels), ("train-labels-idx1-ubyte", labels)):
        head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (folder / name).write_bytes(head + array.astype(np.uint8).tobytes())


# ---- what is wrong


def test_damaged_images_are_named_skipped_and_counted(images, tmp_path, capsys):
    data = tmp_path / "data"
    for folder in images.iterdir():
        (data / folder.name).mkdir(parents=True)
        for path in folder.iterdir():
            (data / folder.name / path.name).write_bytes(path.read_bytes())
    broken = data / CLASSES[1] / "05.png"
    broken.write_bytes(broken.read_bytes()[:300])
    run = train.run(data, ARCH, tmp_path / "run", replace(RECIPE, epochs=1))
    said = capsys.readouterr().err
    assert f"skipped {CLASSES[1]}/05.png: " in said and "1 skipped" in said
    assert list(run.facts["damaged"]) == [f"{CLASSES[1]}/05.png"] and len(run.training) + len(run.validation) == 59
    train.resume(tmp_path / "run")
    for path in (data / CLASSES[2]).iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ZfcoreError, match=f"no image to train on of class '{CLASSES[2]}'; 21 images cannot be read"):
        train.run(data, ARCH, tmp_path / "other", RECIPE)
    (tmp_path / "run" / "epoch-0001.safetensors").unlink()
    with pytest.raises(ZfcoreError, match="not the data that"):
        train.resume(tmp_path / "run")


def broken_run(kind: str, out: Path, finished: Path) -> None:
    """A copy of a finished run, with something wrong."""
    out.mkdir()
    for path in finished.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    facts = json.loads((out / "run.json").read_text())
    if kind == "deep json":
        (out / "run.json").write_text("[" * 100_000)
    elif kind == "list":
        (out / "run.json").write_text("[1]")
    elif kind == "cut json":
        (out / "run.json").write_text(json.dumps(facts)[:100])
    elif kind == "no json":
        (out / "run.json").unlink()
    elif kind == "another arch in json":
        (out / "run.json").write_text(json.dumps(facts | {"architecture": "alexnet-28"}))
    elif kind == "cut split":
        (out / "split.npz").write_bytes((out / "split.npz").read_bytes()[:60])
    elif kind == "foreign checkpoint":
        zfcore.save(zoo.build("alexnet-28"), out / "epoch-0004.safetensors")
    elif kind == "cut checkpoint":
        (out / "epoch-0003.safetensors").write_bytes((out / "epoch-0003.safetensors").read_bytes()[:5000])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut json", "run.json: damaged"),
        ("deep json", "run.json: damaged"),
        ("list", "run.json: damaged (it holds no facts by name)"),
        ("no json", "holds no run"),
        ("another arch in json", "changed after the run began"),
        ("cut split", "split.npz: damaged"),
        ("foreign checkpoint", "epoch-0004.safetensors: a checkpoint of another run"),
        ("cut checkpoint", "epoch-0003.safetensors: a damaged checkpoint"),
    ],
)
def test_a_broken_run_is_said_and_left_as_it_is(kind, message, finished, tmp_path, capsys):
    out = tmp_path / "run"
    broken_run(kind, out, finished)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(["train", "--resume", str(out)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zfcore: error: ")]
    assert message in line
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_folder_with_a_run_is_refused(finished, images, capsys):
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    assert main(["train", "--data", str(images), "--arch", ARCH, "--out", str(finished)]) == 2
    assert "holds run.json of an earlier run" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--arch zfnet-28 --out run", "--data: needed to begin a run"),
        ("--data images --arch zfnet-29 --out run", "got 'zfnet-29', needed one of"),
        ("--data images --arch zfnet-28-without-9 --out run", "without: got layer 9"),
        ("--data missing --arch zfnet-28 --out run", "missing: no such file or folder"),
        ("--data images --arch zfnet-28 --out run --batch 100", "batch: got 100, needed at most 54"),
        ("--data images --arch zfnet-28 --out run --frame 20", "frame: got (20, 20), needed the input's size"),
        ("--data images --arch zfnet-28 --out run --frame 31", "or an even number of pixels more"),
        ("--data images --arch zfnet-28 --out run --frame 100000", "frame: got 100000, needed at most"),
        ("--data images --arch zfnet-28-fc1000000000 --out run", "fc: got 1000000000 units"),
        ("--data images --arch zfnet-28 --out run --batch 10 --keep 99", "keep: got epoch 99"),
        ("--data images --arch zfnet-28 --out images/run", "lies in the data's folder"),
        ("--resume images --keep 1", "leave out --keep"),
        ("--data images --arch zfnet-28 --out run --rate x", "needed a number"),
        ("--data images --arch zfnet-28 --out run --rate nan", "rate: got nan"),
        ("--data images --arch zfnet-28 --out run --batch 10 --schedule plateau --validation 0", "needs validation images"),
        ("--resume missing", "missing: no such folder"),
        ("--resume images", "images: holds no run"),
        ("--resume images --arch zfnet-28 --rate 0.1", "leave out --arch, --rate"),
    ],
)
def test_mistakes_are_one_line(command, message, images, tmp_path, monkeypatch, capsys):
    (tmp_path / "images").symlink_to(images)
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["train", *command.split()])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("zfcore: error: ") and message in last
    assert not (tmp_path / "run" / "run.json").exists()
