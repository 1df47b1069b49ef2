"""What is reproduced, in order: each experiment with what the paper found, why ours differs, and how it is run on the material."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from zfcore.data.gallery import Gallery
from zfcore.data.labelled import Labelled
from zfcore.data.sources import ImageSource
from zfcore.errors import ZfcoreError
from zfcore.experiments import (
    ablate,
    activations,
    compare,
    correspond,
    duplicates,
    embed,
    evaluate,
    evaluation,
    evolve,
    features,
    filters,
    invariance,
    maximise,
    occlude,
    probe,
    saliency,
    transfer,
    truth,
)
from zfcore.experiments.examined import Looking
from zfcore.experiments.report import CAVEAT
from zfcore.experiments.reproduce import Material
from zfcore.experiments.results import Outcome
from zfcore.experiments.subject import open_subject
from zfcore.stages import stages
from zfcore.training.runs import Run
from zfcore.zoo import architecture, exists


@dataclass(frozen=True)
class Chapter:
    """An experiment of the reproduction.

    Parameters
    ----------
    name : str
        Of its folder.
    title, paper : str
        What it is, and what the paper found, with its numbers.
    why : str
        Why ours differ, on the built-in scenes.
    run : callable
    elsewhere : str
        Why ours differ on other images, if that is another reason.
    """

    name: str
    title: str
    paper: str
    why: str
    run: Callable[[Material], Outcome]
    elsewhere: str = ""


def _train(material: Material) -> Outcome:
    run = material.trained("run", material.arch, share=0.12)
    out = material.out / "evaluation"
    found = evaluate.run([run.folder], material.data, out=out)
    wrong = {crops: found.error(crops) for crops in ("centre", "ten")}
    words = (
        f"{material.arch}, trained for {run.recipe.epochs} epochs on {len(run.training):,} images of {len(run.classes)} classes, gets "
        f"{wrong['centre']:.1%} of {len(found.labels):,} images wrong that it did not learn from ({wrong['ten']:.1%} by the mean over "
        f"ten crops)."
        if found.chosen.part != "train"
        else f"{material.arch} gets {wrong['centre']:.1%} of its own {len(found.labels):,} training images wrong; the data have no others."
    )
    pictures = [run.folder / "curves.png", *(out / name for name in (evaluate.CONFUSION, evaluate.MISTAKES) if (out / name).exists())]
    return Outcome("evaluate", words, tuple(pictures), out / evaluate.RECORD, {}, evaluation.table(found))


def _features(material: Material) -> Outcome:
    subject, layers = material.subject, stages(material.subject.net)
    shown = [layer for layer in layers if len(subject.net.shapes[layer]) == 3]
    pages = features.run(
        subject.net,
        material.held_out.source,
        shown,
        material.out / "features",
        choice=subject.choice,
        random=material.few(16, 8),
        seed=material.seed,
        batch=64,
        model=subject.path,
    )
    words = (
        f"The nine strongest activations of maps of {', '.join(shown)} over {len(material.held_out):,} held-out images, each brought "
        f"down to "
        "pixels, beside its patch. Look at how the nine of a map agree, and at what changes from layer to layer."
    )
    return Outcome("features", words, tuple(page.picture for page in pages), pages[-1].facts, {}, remarks=(CAVEAT,))


def _evolve(material: Material) -> Outcome:
    run = material.trained("run", material.arch, share=0.12)
    found = evolve.run(run.folder, material.out / "evolution", random=material.few(8, 4), seed=material.seed, data=material.data)
    epochs = ", ".join(map(str, found.epochs))
    words = f"Maps of every convolution over the epochs {epochs} of the training; when each came to rest is in the table."
    return Outcome("evolve", words, tuple(found.pictures), found.facts, {}, found.table, (CAVEAT,))


def _invariance(material: Material) -> Outcome:
    pictures = material.pictures(material.few(5, 3))
    return invariance.run(material.subject, pictures, out=material.out / "invariance", steps=material.few(25, 13))


def _filters(material: Material) -> Outcome:
    return filters.run(material.subject, material.out / "filters", images=_some(material, 1000, 200), looking=Looking(seed=material.seed))


def _compare(material: Material) -> Outcome:
    size = architecture(material.arch).size
    other = "alexnet" if size == architecture("alexnet").size else f"alexnet-{size}"
    if material.arch.startswith("alexnet") or not exists(other):
        raise ZfcoreError(f"{material.arch}: a network that is no AlexNet is needed to be compared with one of its size, {other}")
    rival = material.trained("alexnet", other, share=0.06, most=10)
    images, looking = _some(material, 1000, 200), Looking(seed=material.seed)
    return compare.run(open_subject(rival.folder), material.subject, material.out / "compare", images=images, looking=looking)


def _occlude(material: Material) -> Outcome:
    side = max(material.subject.net.input_shape[1:])
    square = round(side * (27 / 224 if side > 128 else 0.3))  # of small images more has to be hidden before anything happens
    pictures = material.pictures(3)
    return occlude.run(material.subject, pictures, material.out / "occlusion", square=square, others=material.held_out.source)


def _correspond(material: Material) -> Outcome:
    return correspond.run(material.subject, out=material.out / "correspondence", count=material.few(20, 8), seed=material.seed)


def _transfer(material: Material) -> Outcome:
    return transfer.run(
        material.subject,
        material.data,
        out=material.out / "transfer",
        part="test" if "test" in material.found.parts else "train",
        shots=_shots(material),
        folds=material.few(5, 2),
        scratch=material.arch,
        steps=material.few(600, 150),
        seed=material.seed,
    )


def _shots(material: Material) -> list[int]:
    """Training images of a class: the paper's 15 and 30, or what there is."""
    least = int(material.held_out.counts.min())
    return [n for n in (5, 15, 30, 60)[: material.few(4, 2)] if n <= least // 2] or [max(1, least // 2)]


def _probe(material: Material) -> Outcome:
    return probe.run(
        material.subject,
        material.data,
        out=material.out / "probe",
        part="test" if "test" in material.found.parts else "train",
        shots=_shots(material)[-1],
        folds=material.few(5, 2),
        control=True,
        seed=material.seed,
    )


def _ablate(material: Material) -> Outcome:
    out = material.out / "ablation"
    begun = Run.occupied(out / material.arch) is not None  # by an earlier call, for as many epochs as fitted then
    recipe = Run.open(out / material.arch).recipe if begun else material.recipe(material.arch, share=0.16 / 8, most=10)
    return ablate.run(material.data, material.arch, out, recipe)


def _duplicates(material: Material) -> Outcome:
    if "test" not in material.found.parts:
        raise ZfcoreError(f"{material.data}: has one part alone; two sets are needed to look for images in both")
    out = material.out / "duplicates"
    return duplicates.run(material.data, material.data, part_a="train", part_b="test", out=out)


def _activations(material: Material) -> Outcome:
    (picture,) = material.pictures(1)
    return activations.run(material.subject, picture, material.out / "activations", images=_some(material, 500, 200), most=32)


def _saliency(material: Material) -> Outcome:
    picture = material.pictures(2)[-1]
    return saliency.run(material.subject, picture, out=material.out / "saliency", draws=material.few(5, 2), seed=material.seed)


def _maximise(material: Material) -> Outcome:
    classes = [str(k) for k in range(min(10, len(material.subject.classes)))]
    return maximise.run(material.subject, out=material.out / "maximise", classes=classes, steps=material.few(200, 60), seed=material.seed)


def _embed(material: Material) -> Outcome:
    count = min(material.few(1000, 300), len(material.held_out))
    return embed.run(material.subject, material.data, out=material.out / "embedding", count=count, seed=material.seed)


def _truth(material: Material) -> Outcome:
    if not material.scenes:
        raise ZfcoreError("the truth about an image, its object's mask, is known of the built-in scenes alone")
    scenes, draws = material.few(40, 10), 5
    return truth.run([material.subject], out=material.out / "truth", scenes=scenes, draws=draws, seed=material.seed)


def _some(material: Material, full: int, least: int) -> Gallery:
    """Held-out images, all or some."""
    images: Labelled = material.held_out
    count = min(material.few(full, least), len(images))
    chosen = images.part(np.linspace(0, len(images) - 1, count).astype(np.int64))
    source: ImageSource = chosen.source
    return Gallery(source, chosen, replace(material.found, parts={**material.found.parts, "some": chosen}), "some")


SMALL = "ten drawn classes of 64 pixels instead of a thousand of photographs"

CHAPTERS = (
    Chapter(
        "training",
        "Table 2: training, and the errors",
        "ImageNet's validation images, top-1 and top-5 error: its replica of AlexNet 40.5 and 18.1 %, ZFNet 38.4 and 16.5 %, five of them "
        "averaged 36.7 and 15.3 %. 70 epochs took 12 days.",
        f"{SMALL}: the task is far easier, and minutes are enough for it.",
        _train,
        "other images and classes, a smaller network and fewer of both; the error says how hard the set is, not how good the network.",
    ),
    Chapter(
        "features",
        "Figure 2: what excites the maps of each layer",
        "Layer 1 edges and colours, layer 2 corners, layer 3 textures, layer 4 parts, layer 5 whole objects in any pose.",
        f"{SMALL}, and 1,000 images to find the strongest in instead of 50,000: with so few, what upper layers have in common is coarser.",
        _features,
        "other images and classes, and far fewer of them to find the strongest in: what upper layers have in common is coarser.",
    ),
    Chapter(
        "evolution",
        "Figure 4: features over the epochs",
        "Lower layers settle within a few epochs; upper ones only develop after 40 to 50.",
        "our training is far shorter, and its rate falls to zero, so that a layer may rest at the end for that alone: only the order of "
        "layers can be compared; and these are means of a few maps, which a new strongest image in one of them moves.",
        _evolve,
    ),
    Chapter(
        "invariance",
        "Figure 5: vertical and horizontal shift, scale, rotation",
        "Small transformations move the first layer a lot and the top layer little; there the change is nearly linear in shift and scale; "
        "rotation is not tolerated, but by objects that are symmetric.",
        "the network has seen scenes shifted, scaled and tilted a little in training; and the paper does not say how its distances are "
        "normalised.",
        _invariance,
        "networks are trained on images that are cropped and mirrored at random, which teaches them small shifts; and the paper does not "
        "say how its distances are normalised.",
    ),
    Chapter(
        "filters",
        "Figure 6: the filters of the first layer",
        "With 7x7 filters at stride 2 few are dead, and none dominates once their size is limited.",
        "the recipe for small networks starts from larger weights and ends after minutes: how many filters dominate, and how many look "
        "like noise, says as much of the recipe as of the layer.",
        _filters,
    ),
    Chapter(
        "compare",
        "Figure 6: against AlexNet's first layer",
        "AlexNet's 11x11 filters at stride 4 are a mix of very high and very low frequencies with few in between, some are dead; "
        "projections "
        "of its second layer show aliasing.",
        "filters and strides are the paper's, but both trainings are short, AlexNet's the shorter: most of what its filters have of high "
        "frequencies was there after its first epoch, noise that it began from. The measure of aliasing is ours, and moves with the images "
        "searched; the paper only looked.",
        _compare,
    ),
    Chapter(
        "occlusion",
        "Figure 7: a grey square slides over the image",
        "Hiding the object takes the probability of its class down, and with it the map that responds to it: the network looks at the "
        "object "
        "and not at what is around it.",
        "an easy task leaves the answer sure even when much is hidden, so our square is larger for its image than is usual.",
        _occlude,
        "other images; the paper says neither the size of its square nor its stride.",
    ),
    Chapter(
        "correspondence",
        "Table 1 and figure 8: the same part hidden in different images",
        "Mean distance of the signs of the changes at layers 5 and 7, lower is tighter: right eye .067 .069, left eye .069 .068, nose "
        ".079 .069, "
        "at random .107 .073.",
        "five frontal photographs of dogs there, many drawn objects of several classes here; small networks change in more of their few "
        "units.",
        _correspond,
    ),
    Chapter(
        "transfer",
        "Tables 4 and 5, figure 9: features for other tasks",
        "Caltech-101 with 30 images a class: from scratch 46.5 %, on features learnt from ImageNet 86.5 %; Caltech-256 with 60: 38.8 and "
        "74.2 %; "
        "six images a class beat what others reached with sixty.",
        "the features were learnt on other scenes of the very same classes, so that nothing has to carry over to a new task: that "
        "flatters them.",
        _transfer,
        "the features were learnt on images of the same set, where the data have a test part from its other part, else from these very "
        "ones: "
        "that flatters them.",
    ),
    Chapter(
        "probe",
        "Table 7: how much each layer's features tell a linear classifier",
        "Caltech-101, a linear SVM on layers 1 to 5 and 7: 44.8, 66.2, 72.3, 76.6, 86.2, 85.5 %; deeper is better.",
        "the classes are those that the network was trained for, which pulls its upper layers up; and they are easily told apart.",
        _probe,
    ),
    Chapter(
        "ablation",
        "Table 3: networks with layers removed or resized",
        "Top-1 error of AlexNet 40.5 %: without layer 7 it is 40.0, without 3 and 4 45.4, without 6 and 7 44.8, without all four 71.3 %: "
        "depth is what matters.",
        f"{SMALL}, trained for a few epochs: most variants have not been trained to their limit, and one seed cannot tell small "
        f"differences apart.",
        _ablate,
        "other images, and a few epochs: most variants have not been trained to their limit, and one seed cannot tell small differences "
        "apart.",
    ),
    Chapter(
        "duplicates",
        "Section 5: images that two sets share",
        "44 of 9,144 images of Caltech-101 were in ImageNet's training set, and 243 of 30,607 of Caltech-256; they were removed.",
        "scenes are drawn from random numbers, so that none should be found twice: anything found would be look-alikes.",
        _duplicates,
        "the parts of one set are compared here, not two sets.",
    ),
    Chapter(
        "activations",
        "Lecture: raw activations of every layer",
        "(CS231n, lecture 9.) A map that is zero for many images is a dead filter.",
        "nothing to compare: the lecture shows pictures of one network.",
        _activations,
    ),
    Chapter(
        "saliency",
        "Lecture: gradient, guided, deconvnet side by side",
        "(CS231n, lecture 9, after Springenberg et al.; the check with random weights is Adebayo et al.'s, 2018.) Guided maps look "
        "cleanest; the "
        "check says that they change least when the network forgets what it learnt.",
        "nothing to compare in numbers: another network.",
        _saliency,
    ),
    Chapter(
        "maximise",
        "Lecture: images that maximise a class",
        "(CS231n, lecture 9, after Simonyan et al. 2013 and Yosinski et al. 2015.) Recognisable fragments of the class, many times over.",
        "a small network that has seen few and small images asks for less: a few parts are enough for the score, the rest is chance.",
        _maximise,
    ),
    Chapter(
        "embedding",
        "Lecture: codes placed in the plane by t-SNE",
        "(CS231n, lecture 9.) Images of one class lie together, by what they show and not by their colours.",
        "ten classes that the network was trained for: clusters are expected.",
        _embed,
        "the classes are those that the network was trained for: clusters are expected.",
    ),
    Chapter(
        "truth",
        "Ground truth: do explanations point at the object?",
        "No counterpart: of photographs nobody knew what the network had to look at.",
        "nothing to compare; the scenes' masks make the question answerable.",
        _truth,
    ),
)
