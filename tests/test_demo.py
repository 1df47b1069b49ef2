"""The demo, on a hundredth of its images: every file it promises is there, and the page names nothing that is not."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from PIL import Image

import zfcore
from zfcore.cli import main
from zfcore.experiments import demo


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(demo, "TRAINING", 40)
    monkeypatch.setattr(demo, "HELD_OUT", 20)
    monkeypatch.setattr(demo, "MAPS", 2)
    monkeypatch.setattr(demo, "RECIPE", replace(demo.RECIPE, epochs=1, batch=20))


def test_writes_what_it_promises(little, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo"), "--seed", "3"]) == 0
    out = tmp_path / "demo"
    page = (out / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {"filters.png", "scenes.png", *(f"features/conv{i}.png" for i in range(1, 6))} <= set(named)
    for name in named:
        assert (out / name).is_file(), name
        if name.endswith(".png"):
            Image.open(out / name).load()
    facts = json.loads((out / "demo.json").read_text())
    assert facts["recipe"]["seed"] == facts["seed"] == 3 and len(facts["epochs"]) == 1
    assert "seed 3" in capsys.readouterr().err
    net = zfcore.load(out / "zfnet-small.safetensors")
    assert net.classes == demo.CLASSES and net.preprocessing is not None


def test_same_seed_same_files(little, tmp_path):
    for name in ("a", "b"):
        demo.run(tmp_path / name, seed=1)
    for path in sorted((tmp_path / "a").rglob("*")):
        if path.is_file() and path.name not in ("demo.json", "index.html"):  # these hold seconds
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name


def test_another_seed_replaces_what_is_there(little, tmp_path):
    for seed in (1, 2):
        demo.run(tmp_path, seed)
    demo.run(tmp_path / "alone", seed=2)
    for name in ("features/conv3.json", "features/conv3.png", "filters.png", "zfnet-small.safetensors"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name


def test_unwritable_place_is_said_before_any_work(little, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert "file" in capsys.readouterr().err
