"""Everything in order: what is done stays done, what cannot be done is said, and the page shows it all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from zfcore import ZfcoreError, cli
from zfcore.experiments import chapters, page, reproduce
from zfcore.experiments.chapters import CHAPTERS, Chapter
from zfcore.experiments.results import Results
from zfcore.files import write_whole
from zfcore.training.recipe import RECIPES


def told(material: reproduce.Material, name: str):
    results = Results(material.out / name, name)
    results.picture("dot", Image.fromarray(np.zeros((2, 2, 3), np.uint8)))
    return results.conclude(None, {}, {"n": 1}, f"{name} <was> found.", "a  table", ["a remark"])


@pytest.fixture
def made(monkeypatch):
    """Three chapters that leave a trace, and the names of those that ran."""
    ran: list[str] = []

    def chapter(name: str, error: BaseException | None = None) -> Chapter:
        def run(material: reproduce.Material):
            ran.append(name)
            if error is not None:
                raise error
            return told(material, name)

        return Chapter(name, f"Figure {name}", "The paper <says>.", "because", run)

    def put(*names: str, error: BaseException | None = None) -> list[str]:
        monkeypatch.setattr(chapters, "CHAPTERS", tuple(chapter(name, error if name == "bad" else None) for name in names))
        ran.clear()
        return ran

    return put


def test_the_page_links_what_was_found_and_the_record_keeps_it(made, tmp_path, capsys):
    made("one", "two")
    assert cli.main(["reproduce", "--out", str(tmp_path / "out")]) == 0
    assert "2 experiments are done" in capsys.readouterr().out
    text = (tmp_path / "out/index.html").read_text()
    for words in ("one &lt;was&gt; found.", "The paper &lt;says&gt;.", "because", "a  table", "a remark"):
        assert words in text
    assert 'src="two/dot.png"' in text and 'href="two/two.json"' in text
    assert "still to do" not in text
    assert set(json.loads((tmp_path / "out/reproduce.json").read_text())["chapters"]) == {"one", "two"}


def test_what_is_done_is_not_done_again(made, tmp_path):
    made("one")
    reproduce.run(tmp_path / "out")
    ran = made("one", "two")
    reproduce.run(tmp_path / "out")
    assert ran == ["two"]


def test_what_cannot_be_done_is_said_and_the_rest_goes_on(made, tmp_path):
    ran = made("one", "bad", "two", error=ZfcoreError("the data have no <test>"))
    outcome = reproduce.run(tmp_path / "out")
    assert ran == ["one", "bad", "two"] and "not done, with the reason on the page: bad" in outcome.found
    assert "Not done: the data have no &lt;test&gt;" in (tmp_path / "out/index.html").read_text()
    ran = made("one", "bad", "two")
    assert "3 experiments are done" in reproduce.run(tmp_path / "out").found and ran == ["bad"]


def test_a_page_that_is_missing_is_written_again(made, tmp_path):
    made("one")
    reproduce.run(tmp_path)
    text = (tmp_path / "index.html").read_text()
    (tmp_path / "index.html").unlink()
    reproduce.run(tmp_path)
    assert (tmp_path / "index.html").read_text() == text


def test_a_training_that_was_stopped_is_not_taken_up_by_another_reproduction(made, tmp_path):
    made("bad", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        reproduce.run(tmp_path)
    with pytest.raises(ZfcoreError, match="seed 0, not 1"):
        reproduce.run(tmp_path, seed=1)


def test_a_run_of_no_reproduction_is_not_taken_up(made, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").touch()
    made("one")
    with pytest.raises(ZfcoreError, match="of no reproduction"):
        reproduce.run(tmp_path)
    assert not (tmp_path / "reproduce.json").exists()


def test_pictures_are_of_different_classes(tmp_path):
    for k in range(2):
        (tmp_path / f"c{k}").mkdir()
        for n in range(2):
            Image.fromarray(np.full((8, 8, 3), 90 * k + n, np.uint8)).save(tmp_path / f"c{k}/{n}.png")
    material = reproduce.Material(Path("out"), str(tmp_path), "zfnet-28", 5.0, 0)
    assert [picture.label for picture in material.pictures(3)] == ["c0", "c1"]


def test_an_ablation_that_was_stopped_goes_on_with_its_recipe(monkeypatch, tmp_path):
    """Another one would be for as many epochs as the machine's speed of today allows."""
    recipe = replace(RECIPES["small"], epochs=7)
    monkeypatch.setattr(chapters.Run, "occupied", lambda folder: "run.json")
    monkeypatch.setattr(chapters.Run, "open", lambda folder: SimpleNamespace(recipe=recipe))
    monkeypatch.setattr(chapters.ablate, "run", lambda data, arch, out, recipe: recipe)
    assert chapters._ablate(reproduce.Material(tmp_path, "scenes", "zfnet-small", 5.0, 0)) is recipe


def test_ctrl_c_keeps_what_is_done_and_the_page_says_what_is_left(made, tmp_path, capsys):
    made("one", "bad", "two", error=KeyboardInterrupt("stopped after 3 of 9 images; nothing was written"))
    assert cli.main(["reproduce", "--out", str(tmp_path / "out")]) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    assert "stopped after 3 of 9 images, of bad; 1 of 3 experiments are done, the same command goes on" in line
    assert "2 of 3 are still to do" in (tmp_path / "out/index.html").read_text()
    ran = made("one", "bad", "two")
    reproduce.run(tmp_path / "out")
    assert ran == ["bad", "two"]


def test_another_reproduction_is_not_mixed_in(made, tmp_path, capsys):
    made("one")
    reproduce.run(tmp_path / "out")
    assert cli.main(["reproduce", "--seed", "3", "--out", str(tmp_path / "out")]) == 2
    assert "holds a reproduction with seed 0, not 3" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"asked": 3, "chapters": {}}', '{"asked": {}, "chapters": {"one": {"words": 3}}}'])
def test_a_damaged_record_is_one_line(made, tmp_path, content):
    made("one")
    write_whole(tmp_path / "reproduce.json", content.encode())
    with pytest.raises(ZfcoreError, match="a damaged record of an earlier reproduction"):
        reproduce.run(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [("--data nowhere", "nowhere"), ("--arch zfnet9", "zfnet9"), ("--budget 0", "more than 0"), ("--seed x", "whole number")],
)
def test_a_mistake_is_one_clear_line_and_nothing_is_written(tmp_path, capsys, options, words):
    try:
        status = cli.main(["reproduce", *options.split(), "--out", str(tmp_path / "out")])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and words in said.err.splitlines()[-1] and not said.out
    assert not (tmp_path / "out").exists()


def test_fewer_minutes_make_experiments_smaller_not_fewer():
    material = reproduce.Material(Path("out"), "scenes", "zfnet-small", 5.0, 0)
    assert material.few(100, 10) == 25 and material.few(8, 4) == 4
    assert reproduce.Material(Path("out"), "scenes", "zfnet-small", 60.0, 0).few(100, 10) == 100


def test_every_experiment_of_the_issue_has_a_chapter():
    assert [chapter.name for chapter in CHAPTERS] == [
        *("training", "features", "evolution", "invariance", "filters", "compare", "occlusion", "correspondence", "transfer", "probe"),
        *("ablation", "duplicates", "activations", "saliency", "maximise", "embedding", "truth"),
    ]
    assert all(chapter.title and chapter.paper and chapter.why for chapter in CHAPTERS)


def test_an_experiment_without_a_result_is_still_to_do():
    chapter = Chapter("one", "One", "paper", "why", lambda material: None)  # type: ignore[arg-type,return-value]
    assert "Still to do." in page.page({"asked": {"seed": 0}, "chapters": {}}, (chapter,), True)


def test_a_damaged_image_is_passed_over_and_a_set_of_them_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"no picture")
    with pytest.raises(ZfcoreError, match="no image in it can be read"):
        reproduce.run(tmp_path.parent / "out", str(tmp_path))
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "b" / "1.png")
    material = reproduce.Material(Path("out"), str(tmp_path), "zfnet-32", 5.0, 0)
    assert [(picture.name, picture.label) for picture in material.pictures(2)] == [("b/1.png", "b")]


def test_an_alexnet_is_not_compared_with_itself():
    with pytest.raises(ZfcoreError, match="no AlexNet"):
        chapters._compare(reproduce.Material(Path("out"), "scenes", "alexnet-64", 5.0, 0))
