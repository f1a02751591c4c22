"""What is known of peft's further tuners, from running the contract on tiny models.

A tuner that fails it stays in the table with the reason, so that whoever asks for it reads why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autopeft.records import ModuleShape, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuner:
    """A tuner of peft that is not a method of its own here.

    Args:
        description: one phrase.
        paper: authors, year, title.
        refused: why it fails the contract on every backbone, ``""`` if it keeps it.
        mergeable: whether merging gives equal logits wherever it runs.
        low_precision: whether it trains over a frozen backbone of 16 bit.
        size: trained parameters of one module, for a tuner that cannot be injected without weights.
        linear_only: whether such a tuner refuses transposed projections; others say so themselves.
    """

    description: str
    paper: str
    refused: str = ""
    mergeable: bool = True
    low_precision: bool = True
    size: Callable[[ModuleShape, Mapping[str, Scalar]], int] | None = None
    linear_only: bool = False


def _refused(description: str, paper: str, reason: str) -> Tuner:
    return Tuner(description=description, paper=paper, refused=reason)


TUNERS: Mapping[str, Tuner] = {
    "adamss": _refused(
        "clusters of singular subspaces, each with an update of its own",
        "Zheng et al. (2025), AdaMSS: Adaptive Multi-Subspace Approach for Parameter-Efficient "
        "Fine-Tuning",
        "its size follows from clusters of the weights, so it is not known before they are loaded",
    ),
    "adaption_prompt": _refused(
        "prompts inside the attention of the top layers, behind a gate at zero",
        "Zhang et al. (2023), LLaMA-Adapter: Efficient Fine-tuning of Language Models with "
        "Zero-init Attention",
        "it takes layers and no modules, and of few decoders only",
    ),
    "beft": Tuner(
        description="a trained offset of each projection's output",
        paper="Huang et al. (2025), BEFT: Bias-Efficient Fine-Tuning of Language Models in "
        "Low-Data Regimes (arXiv:2509.15974)",
        mergeable=False,
    ),
    "boft": Tuner(
        description="multiplies weights by an orthogonal matrix, a product of butterfly factors",
        paper="Liu et al. (2024), Parameter-Efficient Orthogonal Finetuning via Butterfly "
        "Factorization",
    ),
    "c3a": Tuner(
        description="adds blocks of circulant matrices",
        paper="Chen et al. (2024), Parameter-Efficient Fine-Tuning via Circular Convolution",
    ),
    "cartridge": _refused(
        "trained keys and values before those of every layer, without a network that makes them",
        "Eyuboglu et al. (2025), Cartridges: Lightweight and General-purpose Long Context "
        "Representations via Self-study",
        "it takes no modules; prefix trains the same keys and values",
    ),
    "cpt": _refused(
        "trains the tokens of a context of examples",
        "Blau et al. (2024), Context-aware Prompt Tuning: Advancing In-Context Learning with "
        "Adversarial Methods",
        "it is for causal language models only, and has no head to train",
    ),
    "deft": Tuner(
        description="takes a trained subspace out of each weight and puts an update there",
        paper="Kumar et al. (2025), DEFT: Decompositional Efficient Fine-Tuning for Text-to-Image "
        "Models",
    ),
    "delora": Tuner(
        description="normalised low-rank updates with a trained strength",
        paper="Bini et al. (2025), Decoupling Angles and Strength in Low-rank Adaptation",
    ),
    "fourierft": Tuner(
        description="trains a few Fourier coefficients of each update",
        paper="Gao et al. (2024), Parameter-Efficient Fine-Tuning with Discrete Fourier Transform",
    ),
    "frod": _refused(
        "sparse updates in a basis shared by all layers",
        "Wan et al. (2026), FRoD: Full-Rank Efficient Fine-Tuning with Rotational Degrees for Fast "
        "Convergence",
        "its basis is computed from the weights, so it is not known before they are loaded",
    ),
    "glora": Tuner(
        description="scales and shifts of weights and biases, each of a form of its own",
        paper="Chavan et al. (2023), One-for-All: Generalized LoRA for Parameter-Efficient "
        "Fine-tuning",
    ),
    "gralora": Tuner(
        description="low-rank updates of a grid of blocks",
        paper="Jung et al. (2025), GraLoRA: Granular Low-Rank Adaptation for Parameter-Efficient "
        "Fine-Tuning",
    ),
    "hira": Tuner(
        description="multiplies weights elementwise by a low-rank matrix",
        paper="Huang et al. (2025), HiRA: Parameter-Efficient Hadamard High-Rank Adaptation for "
        "Large Language Models",
    ),
    "hra": Tuner(
        description="multiplies weights by a chain of Householder reflections",
        paper="Yuan et al. (2024), Bridging The Gap between Low-rank and Orthogonal Adaptation via "
        "Householder Reflection Adaptation",
    ),
    "lily": _refused(
        "low-rank updates whose second factors are shared and chosen by a router",
        "Zhong et al. (2024), Low-Rank Interconnected Adaptation across Layers",
        "its router reads padding, so more padding gives other logits",
    ),
    "miss": Tuner(
        description="one trained shard per weight, shared by all its blocks",
        paper="Kang & Yin (2024), MiSS: Revisiting the Trade-off in LoRA with an Efficient "
        "Shard-Sharing Structure",
    ),
    "multitask_prompt_tuning": _refused(
        "a prompt shared by tasks, with a low-rank part for each",
        "Wang et al. (2023), Multitask Prompt Tuning Enables Parameter-Efficient Transfer Learning",
        "each example must name its task",
    ),
    "oft": Tuner(
        description="multiplies weights by a block-diagonal orthogonal matrix",
        paper="Qiu et al. (2023), Controlling Text-to-Image Diffusion by Orthogonal Finetuning",
    ),
    "osf": Tuner(
        description="trains the low singular directions of each weight, the high ones frozen",
        paper="Nayak et al. (2025), Sculpting Subspaces: Constrained Full Fine-Tuning in LLMs for "
        "Continual Learning",
    ),
    "peanut": Tuner(
        description="updates that a small network makes from the weights themselves",
        paper="Zhong et al. (2024), PEANuT: Parameter-Efficient Adaptation with Weight-aware "
        "Neural Tweakers (arXiv:2410.01870)",
    ),
    "poly": _refused(
        "a trained mixture of LoRA skills for each task",
        "Ponti et al. (2023), Combining Parameter-efficient Modules for Task-level Generalisation",
        "each example must name its task",
    ),
    "psoft": Tuner(
        description="an orthogonal transformation within the principal subspace of each weight",
        paper="Wu et al. (2025), Efficient Orthogonal Fine-Tuning with Principal Subspace "
        "Adaptation (arXiv:2505.11235)",
        low_precision=False,  # rounded weights have other singular vectors, which are not stored
    ),
    "pvera": Tuner(
        description="VeRA whose vectors are distributions while it trains",
        paper="Fillioux et al. (2025), PVeRA: Probabilistic Vector-Based Random Matrix Adaptation "
        "(arXiv:2512.07703)",
    ),
    "randlora": Tuner(
        description="full-rank sums of fixed random low-rank matrices with trained scales",
        paper="Albert et al. (2025), RandLoRA: Full-Rank Parameter-Efficient Fine-Tuning of Large "
        "Models",
    ),
    "road": Tuner(
        description="rotates pairs of outputs by trained angles and scales",
        paper="Liao & Monz (2024), 3-in-1: 2D Rotary Adaptation for Efficient Finetuning, "
        "Efficient Batching and Composability",
    ),
    "shadow": _refused(
        "a small second network beside the layers, which corrects what they read",
        "Li et al. (2026), ShadowPEFT: Shadow Network for Parameter-Efficient Fine-Tuning",
        "it takes whole layers of decoders and no modules",
    ),
    "shira": Tuner(
        description="trains a sparse set of entries of each weight",
        paper="Bhardwaj et al. (2024), Sparse High Rank Adapters",
        size=lambda module, knobs: int(knobs["r"]) * (module.fan_in + module.fan_out),
        linear_only=True,
    ),
    "supertuning": Tuner(
        description="trains the entries of largest magnitude of each weight",
        paper="peft's documentation of Super-Tuning (arXiv:2607.09287)",
    ),
    "tinylora": Tuner(
        description="a tiny trained vector, projected at random into singular directions",
        paper="Morris et al. (2026), Learning to Reason in 13 Parameters (arXiv:2602.04118)",
    ),
    "trainable_tokens": _refused(
        "trains the embeddings of chosen tokens",
        "peft's documentation of trainable tokens",
        "it changes embeddings, and the tokens must be named",
    ),
    "unilora": Tuner(
        description="one trained vector, projected into all LoRA matrices",
        paper="Li et al. (2025), Uni-LoRA: One Vector is All You Need",
    ),
    "vblora": Tuner(
        description="LoRA whose matrices are mixtures from a shared bank of vectors",
        paper="Li et al. (2024), VB-LoRA: Extreme Parameter Efficient Fine-Tuning with Vector "
        "Banks",
    ),
    "waveft": Tuner(
        description="trains a few wavelet coefficients of each update",
        paper="Bilican et al. (2025), Exploring Sparsity for Parameter Efficient Fine Tuning Using "
        "Wavelets",
    ),
    "xlora": _refused(
        "a trained mixture of finished LoRA adapters",
        "Buehler & Buehler (2024), X-LoRA: Mixture of Low-Rank Adapter Experts, a Flexible "
        "Framework for Large Language Models with Applications in Protein Mechanics and Molecular "
        "Design",
        "it needs adapters that were trained before",
    ),
}
