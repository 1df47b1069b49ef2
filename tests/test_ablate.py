"""`zfcore ablate`: the variants are the paper's, each an ordinary run, and what is said of them follows from what they got wrong."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import zfcore
from zfcore import cli, zoo
from zfcore.data.datasets import open_data
from zfcore.errors import ZfcoreError
from zfcore.experiments import ablate, sitting, train
from zfcore.experiments.ablation import Row, Wrong, difference, sentence
from zfcore.experiments.variants import ALEXNET, PAPER, ZFNET, chosen_variants, variants_of
from zfcore.testing import parity_test, rounding_bound
from zfcore.training import RECIPES
from zfcore.training.runs import Run
from zfcore.zoo import ARCHITECTURES, Architecture, Conv, Full, architecture

TINY = Architecture(
    (Conv(4, 3, padding=1, pool=3), Conv(4, 3, padding=1), *[Conv(4, 3, padding=1)] * 3, Full(8), Full(8)), size=12, classes=6
)
RECIPE = replace(RECIPES["small"], epochs=2, batch=6, validation=0.25, frame=14, seed=3)
SOME = ["without-7", "without-6-7"]


@pytest.fixture(autouse=True, scope="module")
def tiny():
    """In the zoo; and no curves are drawn, which takes longer than the training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.ARCHITECTURES, "tiny", TINY)
        patch.setattr(sitting, "curves_png", lambda history, title: b"")
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four pictures of each of six classes to train with, and one to test with."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 1)):
        for label in range(6):
            folder = root / part / f"class {label}"
            folder.mkdir(parents=True)
            for n in range(count):
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{n}.png")
    return root


def row(variant, wrong, images=1000, part="validation"):
    return Row(variant, 1, {part: Wrong(images, wrong, None)})


def rows(arch, **wrong):
    """Of 1000 images those got wrong, by role."""
    variants = {variant.role: variant for variant in variants_of(arch)}
    return [row(variants[role.replace("_", " ")], count) for role, count in wrong.items()]


# ---- the variants


@pytest.mark.parametrize("arch", [name for name in ARCHITECTURES if name != "tiny"])
def test_every_architecture_has_variants_that_can_be_built(arch):
    found = variants_of(arch)
    assert found[0].name == "full" and found[0].arch == arch
    assert len({variant.arch for variant in found}) == len({variant.role for variant in found}) == len(found)
    plans = [architecture(variant.arch) for variant in found]
    assert len(set(plans)) == len(plans)
    if architecture(arch).size < 60:
        for variant in found:
            zoo.build(variant.arch)


def test_the_papers_rows():
    assert {variant.role: variant.arch.removeprefix("alexnet-dense") for variant in variants_of("alexnet-dense")} == {
        "full": "",
        "middle": "-without-3-4",
        "last": "-without-7",
        "fully": "-without-6-7",
        "middle fully": "-without-3-4-6-7",
        "half": "-fc2048",
        "double": "-fc8192",
    }
    zfnet = {variant.role: variant.arch for variant in variants_of("zfnet")}
    assert set(PAPER[ALEXNET]) | set(PAPER[ZFNET]) == set(zfnet)
    assert (zfnet["wide"], zfnet["wide double"]) == ("zfnet-b", "zfnet-b-fc8192")
    # one fully connected layer: removing it leaves none, the paper's 6 and 7
    assert {variant.role: variant.name for variant in variants_of("zfnet-small")} == {
        "full": "full", "middle": "without-3-4", "fully": "without-6", "middle fully": "without-3-4-6", "half": "fc128", "double": "fc512"
    }  # fmt: skip


def test_the_papers_numbers_stand_beside_the_right_variants():
    alexnet = {variant.name: variant.stated for variant in variants_of("alexnet-64")}
    assert (alexnet["without-7"].train, alexnet["without-7"].validation, alexnet["without-7"].top5) == (27.4, 40.0, 18.4)
    zfnet = {variant.name: variant.stated for variant in variants_of("zfnet-64")}
    assert zfnet["fc256"].net == ZFNET and zfnet["fc256"].validation == 40.2
    assert zfnet["without-7"] == alexnet["without-7"]  # which the paper tried on AlexNet alone
    assert [variant.stated.validation for variant in variants_of("zfnet-b")] == [37.5, 38.3]
    parity_test(np.array(alexnet["without-3-4"].difference), np.array(45.4 - 40.5), rounding_bound(2, np.array(45.4), np.float64))
    assert chosen_variants("zfnet-64", ["fc100"])[1].stated is None


@pytest.mark.parametrize(
    ("arch", "names", "message"),
    [
        ("zfnet-65", None, "architecture: got 'zfnet-65', needed one of"),
        ("zfnet-64-without-7", None, "arch: got zfnet-64-without-7, itself a variant; give zfnet-64, and --variants"),
        ("zfnet", ["64"], "variants: got '64', needed some of full, without-3-4"),
        ("zfnet-64", ["without7"], "variants: got 'without7', needed some of .*nearest: without-7"),
        ("zfnet-64", ["without-8"], "without: got layer 8"),
        ("zfnet-64", [""], "variants: got ''"),
    ],
)
def test_wrong_variants(arch, names, message, tmp_path):
    with pytest.raises(ZfcoreError, match=message):
        ablate.run("scenes", arch, tmp_path / "out", RECIPE, names)
    assert not (tmp_path / "out").exists()


# ---- what is said


def test_difference_is_newcombes():
    """The example of his paper: 56 of 70 against 48 of 80."""
    found = difference(Wrong(70, 56, None), Wrong(80, 48, None))
    assert [round(value, 4) for value in (found.value, found.low, found.high)] == [0.2, 0.0524, 0.3339]


def test_the_papers_remark_is_seen_where_it_is_so():
    said = sentence(rows("alexnet-64", full=300, last=295, middle=400, fully=420, middle_fully=700), "net", "data", 0.9)
    assert "validation error 30.00 % of 1,000 images" in said
    assert "that of layers 3, 4, 6 and 7 cost most: +40.0 points" in said
    assert "Removing layer 7 alone does not raise it: -0.5 points" in said and "removing several does. So it is in the paper." in said


def test_the_papers_remark_is_not_seen_where_it_is_not():
    said = sentence(rows("alexnet-64", full=300, last=400, middle=290, fully=500), "net", "data", 0.9)
    assert "Removing layer 7 alone raises it: +10.0 points" in said
    assert "raises it without layers 6 and 7, not without layers 3 and 4 (-1.0 points" in said
    assert "So it is in the paper" not in said
    none = sentence(rows("alexnet-64", full=300, last=290, middle=310), "net", "data", 0.9)
    assert "cost most: +1.0 points" in none and "which may be chance" in none and "does not, either: layers 3 and 4 (" in none


def test_a_network_that_has_learnt_nothing_says_nothing():
    said = sentence(rows("alexnet-64", full=895, last=880, middle=850), "net", "data", 0.9)
    assert "That may be no better than naming the most frequent class, 90.00 %" in said and "Removing" not in said


def test_chance_is_the_most_frequent_class(tmp_path):
    for name, count in (("many", 9), ("few", 3)):
        (tmp_path / name).mkdir()
        for n in range(count):
            Image.fromarray(np.full((16, 16, 3), n, np.uint8)).save(tmp_path / name / f"{n}.png")
    found = open_data(tmp_path)
    assert ablate._guessing(found, replace(RECIPE, validation=0.0), "train") == 0.25
    assert ablate._guessing(found, replace(RECIPE, validation=0.34), "validation") == 0.25


def test_a_network_that_is_not_trained_to_its_end_is_named():
    made = zip(rows("zfnet-64", full=300, last=100), (200, 20), strict=True)
    both = [replace(one, wrong={**one.wrong, "train": Wrong(500, count, None)}) for one, count in made]
    said = sentence(both, "net", "data", 0.9)
    assert "No removal raised it; that of layer 7 comes nearest: -20.0 points" in said
    assert "gets 40.00 % wrong, without layer 7 4.00 %: it has to be trained for longer" in said


def test_widths_alone_say_nothing_of_removals():
    assert sentence(rows("alexnet-64", full=300, half=310), "net", "data", 0.9).endswith("full network.")


# ---- training


def test_every_variant_is_a_run_and_its_errors_are_those_of_its_last_network(images, tmp_path, capsys):
    out = tmp_path / "out"
    outcome = ablate.run(images, "tiny", out, RECIPE, SOME)
    names = ["tiny", "tiny-without-6-7", "tiny-without-7"]
    assert sorted(path.name for path in out.iterdir()) == ["ablate.json", "ablate.png", "ablate.svg", *names]
    record = json.loads(outcome.record.read_text())
    assert record["configuration"]["recipe"] == RECIPE.to_dict() and record["configuration"]["judged_by"] == "test"
    data = open_data(images)
    for number, facts in enumerate(record["numbers"]["rows"]):
        run = Run.open(out / facts["architecture"])
        assert run.recipe == RECIPE and run.epochs() == [2]  # the last alone, beside the best
        net = zfcore.load(run.checkpoint(2))
        assert net.parameters == facts["parameters"]
        pool, training, validation = train.split(data, RECIPE)
        for part, source, chosen in (("train", pool, training), ("validation", pool, validation), ("test", data.parts["test"], range(6))):
            y = np.stack([net(net.preprocessing(source.source.read(int(n)))[None])[0] for n in chosen])
            labels = source.labels[np.asarray(chosen)]
            got = facts["errors"][part]
            assert (got["images"], got["top1"]) == (len(chosen), int((y.argmax(axis=1) != labels).sum()))
            assert got["top5"] == int((y.argsort(axis=1)[:, 0] == labels).sum())  # of six classes the last
        to_full = facts["errors"]["test"]["error"] - record["numbers"]["rows"][0]["errors"]["test"]["error"]
        assert facts["difference_to_full"]["value"] == to_full and (number or to_full == 0)
    assert "without-6-7" in outcome.table and "44.8" in outcome.table and "AlexNet replica" in outcome.table
    said = capsys.readouterr().err
    assert "3 variants of tiny" in said and f"{record['numbers']['rows'][0]['parameters']:,}" in said
    assert said.count("weight_decay") == 1  # the recipe, for all of them
    assert "all variants: about" in said and "2 of 3 variants are done; about" in said


def files_of(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_what_is_finished_is_not_trained_again(images, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = ablate.run(images, "tiny", out, RECIPE, ["without-7"])
    before = files_of(out / "tiny")
    monkeypatch.setattr(ablate, "counted", None)
    again = ablate.run(images, "tiny", out, RECIPE, ["without-7"])
    assert files_of(out / "tiny") == before and again.numbers == first.numbers
    monkeypatch.undo()
    for changed in ("{}", (out / "tiny" / ablate.ERRORS).read_text().replace('"top1": ', '"top1": 1')):  # measured again
        (out / "tiny" / ablate.ERRORS).write_text(changed)
        more = ablate.run(images, "tiny", out, RECIPE, SOME)
        assert more.numbers["rows"][:2] == first.numbers["rows"] and len(more.numbers["rows"]) == 3


def test_ctrl_c_loses_nothing(images, tmp_path, monkeypatch):
    whole = ablate.run(images, "tiny", tmp_path / "whole", RECIPE, ["without-7"])
    steps, calls = sitting.train, []

    def pressing(*arguments):
        calls.append(1)
        for taken, epoch in enumerate(steps(*arguments)):
            if len(calls) == 2 and taken == 1:  # the second variant's second step
                os.kill(os.getpid(), signal.SIGINT)
            yield epoch

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(sitting, "train", pressing)
        with pytest.raises(KeyboardInterrupt, match=r"2 of 6 steps are saved, of tiny-without-7; 1 of 2 .*the same command goes on"):
            ablate.run(images, "tiny", out, RECIPE, ["without-7"])
    assert not (out / "ablate.json").exists()
    taken_up = ablate.run(images, "tiny", out, RECIPE, ["without-7"])
    assert taken_up.numbers == whole.numbers
    last = [Run.open(place / "tiny-without-7").checkpoint(2).read_bytes() for place in (out, tmp_path / "whole")]
    assert last[0] == last[1]


def test_another_recipe_or_other_data_there_is_refused(images, tmp_path):
    out = tmp_path / "out"
    ablate.run(images, "tiny", out, RECIPE, ["full"])
    before = files_of(out / "tiny")
    with pytest.raises(ZfcoreError, match=r"tiny: holds a run of another recipe \(rate 0.03, not 0.1\); go on with that recipe"):
        ablate.run(images, "tiny", out, replace(RECIPE, rate=0.1), SOME)
    with pytest.raises(ZfcoreError, match=r"tiny: holds a run on other data than scenes:20; give another --out"):
        ablate.run("scenes:20", "tiny", out, RECIPE, SOME)
    assert files_of(out / "tiny") == before and not (out / "tiny-without-7").exists()


def test_a_variant_whose_loss_is_not_finite_is_named(images, tmp_path):
    with pytest.raises(ZfcoreError, match=r"^tiny: the loss is .*try a lower rate$"):
        ablate.run(images, "tiny", tmp_path / "out", replace(RECIPE, rate=1e30, filter_limit=float("inf")), ["full"])


def test_images_that_cannot_be_read_are_left_out(images, tmp_path, capsys):
    import shutil

    place = tmp_path / "data"
    shutil.copytree(images, place)
    for part in ("train", "test"):
        (place / part / "class 0" / "0.png").write_bytes(b"no picture")
    outcome = ablate.run(place, "tiny", tmp_path / "out", RECIPE, ["full"])
    errors = outcome.numbers["rows"][0]["errors"]
    assert errors["test"]["images"] == 5 and errors["train"]["images"] + errors["validation"]["images"] == 23
    said = capsys.readouterr().err
    assert said.count("skipped") == 2  # each once


def test_the_command(images, tmp_path, capsys):
    out = str(tmp_path / "out")
    options = ["--data", str(images), "--epochs", "1", "--batch", "6", "--frame", "14", "--out", out]
    assert cli.main(["ablate", "--arch", "tiny", "--variants", "without-7", *options]) == 0
    said = capsys.readouterr()
    assert "without-7" in said.out and str(tmp_path / "out" / "ablate.png") in said.out and "one seed" in said.err
    assert cli.main(["ablate", "--arch", "tiny", "--variants", "nothing", *options]) == 2
    assert cli.main(["ablate", "--arch", "tiny", *options, "--epochs", "2"]) == 2
    assert "holds a run of another recipe (epochs 1, not 2)" in capsys.readouterr().err
    assert cli.main(["ablate", "--arch", "tiny", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "new")]) == 2
    assert cli.main(["ablate", "--arch", "tiny", "--data", str(images), "--batch", "1000", "--out", str(tmp_path / "new")]) == 2
    assert "batch: got 1000, needed at most" in capsys.readouterr().err
