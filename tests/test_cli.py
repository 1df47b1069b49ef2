"""The command line: one line and status 2 for a mistake, useful help, quick to start."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import zfcore
from zfcore import Network, cli, layers, zoo
from zfcore.data.preprocessing import PRESETS

COMMANDS = ("demo", "info", "features", "project")


@pytest.fixture
def checkpoint(tmp_path):
    """A small network with its preprocessing, as a file."""
    blocks = (zoo.Conv(5, 3, 1, 1, pool=3, ceil_mode=True, norm=True), zoo.Conv(6, 3, padding=1))
    net = zoo.build(zoo.Architecture(blocks, size=16, classes=4), init="he")
    net.preprocessing = PRESETS["unit"].for_input(net.input_shape)
    zfcore.save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(4):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def refused(capsys, *arguments) -> str:
    """The one line that a wrong command answers with."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse
        status = stop.code
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert status == 2 and not said.out
    assert len(lines) == 1
    return lines[0]


def started(*arguments, **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False, **options)


# ---- help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_and_gives_an_example(capsys, command):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"example:\n  zfcore {command}" in text
    assert len(text.splitlines()) > 10
    example = text[text.index("example:") :].split()[2:]
    assert cli.parser().parse_args(example).command, "the example is no valid command"


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and all(command in text for command in COMMANDS)


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0 and zfcore.__version__ in capsys.readouterr().out


HEAVY = ("numba", "onnx", "safetensors", "tqdm")
LIGHT = """
import sys, zfcore.cli
try:
    zfcore.cli.main(sys.argv[1:])
except SystemExit as stop:
    assert stop.code == 0, stop
print("imported:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["features", "--help"], ["--version"]])
def test_import_and_help_leave_the_heavy_packages_alone(arguments):
    assert all(importlib.util.find_spec(name) for name in HEAVY)
    imported = started("-c", LIGHT, *arguments).stdout.splitlines()[-1].split()
    assert imported[0] == "imported:" and {"zfcore", "numpy"} <= set(imported)
    assert not set(HEAVY) & set(imported)


# ---- what works


def test_features_echoes_what_it_used_and_writes(capsys, checkpoint, images, tmp_path):
    out = tmp_path / "out"
    arguments = ["features", checkpoint, "--images", images, "--layer", "relu2", "--layer", "conv1", "--random", 2, "--out", out]
    assert cli.main([str(a) for a in arguments]) == 0
    said = capsys.readouterr()
    assert "preprocessing: RGB" in said.err and "the network's own" in said.err
    assert said.out.splitlines() == [str(out / "relu2.png"), str(out / "conv1.png")]
    assert "Nie et al. 2018" in said.err
    assert {"relu2.png", "relu2.npz", "relu2.json", "conv1.png", "conv1.npz", "conv1.json"} <= {p.name for p in out.iterdir()}
    assert json.loads((out / "relu2.json").read_text())["model"]["sha256_of"] == "file"


def test_threads_do_not_change_a_byte(checkpoint, images, tmp_path):
    outs = []
    for threads in (1, 2):
        outs.append(tmp_path / f"out{threads}")
        command = ["features", checkpoint, "--images", images, "--layer", "relu2", "--threads", threads, "--out", outs[-1]]
        assert cli.main([str(a) for a in command]) == 0
    one, two = ({path.name: path.read_bytes() for path in out.iterdir()} for out in outs)
    assert one == two


def test_preprocessing_options_reach_the_record(capsys, checkpoint, images, tmp_path):
    options = "--preset caffe --mean 1,2,3 --scale 0.5 --channels rgb --size 20x24 --crop 16".split()
    command = ["project", checkpoint, images / "0.png", "--layer", "relu2", *options, "--out", tmp_path / "out"]
    assert cli.main([str(a) for a in command]) == 0
    used = json.loads((tmp_path / "out" / "0_png-relu2.json").read_text())["preprocessing"]
    assert {name: used[name] for name in ("channels", "size", "crop", "mean", "scale")} == {
        "channels": "RGB", "size": [20, 24], "crop": [16, 16], "mean": [1, 2, 3], "scale": [0.5, 0.5, 0.5]
    }  # fmt: skip
    assert used["origin"].startswith("preset caffe, ")


def test_an_assumed_preprocessing_is_said(capsys, images, tmp_path):
    command = ["project", "zfnet-small", images / "0.png", "--layer", "relu1", "--out", tmp_path / "out"]
    assert cli.main([str(a) for a in command]) == 0
    said = capsys.readouterr().err
    assert "assumed: preset torchvision" in said and "give --preset" in said


def test_info_prints_the_papers_table(capsys):
    assert cli.main(["info", "zfnet", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["parameters"], facts["macs"]) == (62_357_608, 1_168_032_896)
    rows = {row["name"]: row for row in facts["layers"]}
    assert rows["pool5"]["receptive_field"] == [171, 171] and rows["pool5"]["jump"] == [32, 32]
    assert rows["conv1"]["first"] == [-1, -1] and rows["conv1"]["shape"] == [96, 110, 110]
    assert rows["fc6"]["receptive_field"] is None and rows["fc6"]["parameters"] == 37_752_832


def test_info_as_a_table(capsys, checkpoint):
    assert cli.main(["info", str(checkpoint)]) == 0
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if line.startswith("pool1"))
    assert line.split() == ["pool1", "MaxPool2d", "3x3/2", "5x8x8", "5", "2", "-1"]
    assert "times 0.00392157" in text
    assert next(line for line in text.splitlines() if line.startswith("fc3")).split()[-3:] == ["all", "-", "-"]


# ---- mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "required: COMMAND (see zfcore --help)"),
        ("features zfnet-small", "required: --images, --layer, --out (see zfcore features --help)"),
        ("project zfnet-small images/0.png --layer conv1 --out out --unit -1,0,0", "one that begins with - is given after ="),
        ("paint", "invalid choice"),
        ("info nothing.onnx", "nothing.onnx: no such file"),
        ("info zfnett", "nearest: zfnet"),
        ("info .", "holds no run"),
        ("info /dev/zero", "/dev/zero: is a device or a pipe"),
        ("project zfnet-small images/0.png --layer conv9 --out out", "nearest:"),
        ("project zfnet-small images/0.png --layer conv1 --strongest 33 --out out", "needed 1 to 32"),
        ("project zfnet-small images/0.png --layer conv1 --channels grey --out out", "needed RGB or BGR for the network's 3"),
        ("project zfnet-small images/0.png --layer conv1 --size 32 --out out", "size: got 32, needed at least 64"),
        ("project net.safetensors images/0.png --layer conv1 --size 15 --out out", "size: got 15, needed at least 16"),
        ("features zfnet-small --images missing --layer conv1 --out out", "missing: no such folder"),
        ("features zfnet-small --images empty --layer conv1 --out out", "holds no image"),
        ("features zfnet-small --images images --layer conv9 --out out", "nearest:"),
        ("features zfnet-small --images images --layer conv1 --maps 0,32 --out out", "maps 0 to 31"),
        ("features zfnet-small --images images --layer conv1 --maps a --out out", "needed a whole number"),
        ("features zfnet-small --images images --layer conv1 --top 0 --out out", "at least 1"),
        ("features zfnet-small --images images --layer conv1 --top 500 --out out", "top: got 500"),
        ("features zfnet-small --images images --layer conv1 --batch 0 --out out", "at least 1"),
        ("features zfnet-small --images images --layer conv1 --threads 0 --out out", "at least 1"),
        ("features zfnet-small --images images --layer conv1 --all --random 3 --out out", "not allowed with"),
        ("features zfnet-small --images images --layer conv1 --mean 1,2 --out out", "mean: got shape (2,)"),
        ("features zfnet-small --images images --layer conv1 --mean x --out out", "needed numbers"),
        ("features zfnet-small --images images --layer conv1 --crop 1x2x3 --out out", "needed N or HxW"),
        ("features zfnet-small --images images --layer conv1 --crop 7 --out out", "crop: got (7, 7)"),
        ("features zfnet-small --images images --layer conv1 --preset cafe --out out", "invalid choice"),
        ("features zfnet-small --images images --layer conv1 --out images", "images: lies in the folder of images"),
        ("features zfnet-small --images images --layer conv1 --out images/x/y", "images/x/y: lies in the folder of images"),
        ("features zfnet-small --images images --layer conv1 --scale 0 --out out", "scale: got 0, needed"),
        ("features zfnet-small --images images --layer conv1 --scale 1e39 --out out", "scale: got [1e+39], needed"),
        ("project zfnet-small images/0.png --layer conv1 --out images/0.png", "images/0.png: is not a folder"),
        ("project zfnet-small images/0.png --layer conv1 --out images/0.png/x", "images/0.png: is not a folder"),
        ("project zfnet-small missing.png --layer conv1 --out out", "missing.png: no such file"),
        ("project zfnet-small net.safetensors --layer conv1 --out out", "not an image"),
        ("project zfnet-small images/0.png --layer conv1 --unit 32,0,0 --out out", "whose units run over 0..31 x"),
        ("project net.safetensors images/0.png --layer relu2 --unit 0,8,0 --out out", "(0, 8, 0) lies outside"),
    ],
)
def test_a_mistake_is_one_clear_line(capsys, monkeypatch, checkpoint, images, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert words in refused(capsys, *arguments.split())
    assert not [path for path in tmp_path.rglob("*") if path.parent.name == "out"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", ""], "model: got an empty name"),
        (["project", "zfnet-small", "images/0.png", "--layer", "conv1", "--out", ""], "--out: got an empty path"),
        (["features", "zfnet-small", "--images", "", "--layer", "conv1", "--out", "out"], "--images: got an empty path"),
    ],
)
def test_an_empty_name_is_not_the_current_folder(capsys, monkeypatch, images, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_names_from_a_file_do_not_command_the_terminal(capsys, monkeypatch, images, tmp_path):
    sly = "conv\x1b[31m\r\n1\u202e"
    net = Network([layers.Input("image", shape=(3, 16, 16)), layers.ReLU(sly, ("image",))], [sly], "net\x1b[2J", classes=["a\x07"])
    monkeypatch.setattr(zfcore, "load", lambda _: net)
    assert cli.main(["info", "sly"]) == 0
    table = capsys.readouterr().out
    assert r"conv\x1b[31m\r\n1\u202e" in table and r"net\x1b[2J" in table
    rows = [line for line in table.splitlines() if " ReLU " in line]
    assert len(rows) == 1 and rows[0].index("ReLU") == table.splitlines()[-2].index("Input")
    line = refused(capsys, "project", "sly", images / "0.png", "--layer", "conv1", "--out", tmp_path / "out")
    (images / "\x1b[2J.png").write_bytes(b"no image")
    assert cli.main(["features", "sly", "--images", str(images), "--layer", sly, "--out", str(tmp_path / "out")]) == 0
    said = table + line + "".join(capsys.readouterr())
    assert "skipped" in said and all(c.isprintable() or c == "\n" for c in said)


def test_an_unwritable_folder_is_one_clear_line(capsys, monkeypatch, checkpoint, images, tmp_path):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", forbidden)
    command = ["features", checkpoint, "--images", images, "--layer", "relu2", "--out", tmp_path / "out"]
    assert cli.main([str(a) for a in command]) == 2
    assert "cannot be written: Permission denied" in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr("tempfile.TemporaryFile", forbidden)
    assert f"{tmp_path / 'out'}: results cannot be written there: Permission denied; give another" in refused(capsys, *command)


def test_an_interrupt_is_one_line_and_status_130(capsys, monkeypatch, checkpoint):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(zfcore, "load", interrupted)
    assert cli.main(["info", str(checkpoint)]) == 130
    assert capsys.readouterr().err == "zfcore: interrupted\n"


@pytest.mark.parametrize(
    ("error", "words"), [(MemoryError(), "not enough memory"), (OSError(28, "No space left", "x"), "x: No space left")]
)
def test_a_failing_machine_is_one_line(capsys, monkeypatch, checkpoint, error, words):
    def fail(*_):
        raise error

    monkeypatch.setattr(zfcore, "load", fail)
    assert words in refused(capsys, "info", checkpoint)


def test_a_closed_pipe_is_quiet(checkpoint):
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "zfcore", "info", str(checkpoint)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, timeout=120, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full here")
@pytest.mark.parametrize("arguments", ["--help", "--version", "info zfnet"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_one_line(arguments, unbuffered):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "zfcore", *arguments.split()]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (2, "zfcore: error: standard output: No space left on device\n")


@pytest.mark.parametrize("closed", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_closed_streams_are_quiet(capsys, monkeypatch, checkpoint, images, tmp_path, closed):
    for name in closed:
        monkeypatch.setattr(sys, name, None)  # what the interpreter does after >&-
    command = ["features", checkpoint, "--images", images, "--layer", "relu2", "--out", tmp_path / "out"]
    assert cli.main([str(a) for a in command]) == 0
    assert (tmp_path / "out" / "relu2.png").exists()


def test_more_threads_than_cores_are_no_secret(capsys, checkpoint, images, tmp_path):
    command = ["project", checkpoint, images / "0.png", "--layer", "relu2", "--threads", 9999, "--out", tmp_path / "out"]
    assert cli.main([str(a) for a in command]) == 0
    assert "cores, fewer than 9999 threads" in capsys.readouterr().err


def test_the_module_runs_as_a_program(checkpoint):
    done = started("-m", "zfcore", "info", str(checkpoint.with_name("nothing")))
    assert done.returncode == 2 and done.stderr.startswith("zfcore: error: ") and done.stderr.count("\n") == 1


def test_a_name_that_the_terminal_cannot_show_is_escaped(checkpoint, images, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONIOENCODING": "ascii"}
    out = tmp_path / "gr\u00fcn"
    command = [sys.executable, "-m", "zfcore", "project", checkpoint, next(images.iterdir()), "--layer", "relu2", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "gr\\xfcn" in done.stdout
