"""Gated cells against each other: equal steps, several seeds."""

from pydantic import Field

from analysis.plots.dots import dot_plot
from analysis.statistics.intervals import few_runs_interval
from hpcbench.config.tree import Config, Table
from hpcbench.run.record import read_result
from jobs.gallery.examples import Made
from jobs.gallery.workshop import Workshop

TITLE = "Variants of the LSTM"

VARIANTS: dict[str, tuple[str, ...]] = {
    "LSTM": ("--model.cell", "lstm"),
    "peephole, diagonal": ("--model.cell", "peephole_lstm"),
    "peephole, full": (
        "--model.cell", "peephole_lstm", "--model.options.peephole", "full",
    ),
    "coupled gates": ("--model.cell", "coupled_lstm"),
    "GRU, reset after": ("--model.cell", "gru"),
    "GRU, reset before": ("--model.cell", "gru", "--model.options.reset_after", "false"),
    "LSTM, 2 layers": ("--model.cell", "lstm", "--model.layers", "2"),
    "depth-gated, 2 layers": ("--model.cell", "depth_gated_lstm", "--model.layers", "2"),
    "no gates (vanilla)": ("--model.cell", "elman"),
}  # fmt: skip
"""Label → options of ``hpcbench train``."""


class Settings(Config):
    """Training of every variant on Lorenz-96; the rest is jobs/specs/lorenz96_smoke.toml."""

    steps: int = Field(500, ge=1)
    batch: int = Field(8, ge=1)
    seeds: list[int] = Field(default_factory=lambda: [1, 2, 3], min_length=2)
    hidden: int = Field(16, ge=1)
    initial_conditions: int = Field(32, ge=1)
    horizon: float = Field(6.0, gt=0)


QUICK: Table = {"steps": 2, "seeds": [1, 2], "hidden": 4, "initial_conditions": 2,
                         "horizon": 0.5}  # fmt: skip


def scores(settings: Settings, workshop: Workshop) -> dict[str, tuple[list[float], int]]:
    """Return each variant's VPT per seed, and its number of parameters."""
    data = workshop.simulate("lorenz96_smoke")
    found = {}
    for label, options in VARIANTS.items():
        valid, parameters = [], 0
        for seed in settings.seeds:
            run = workshop.train(
                "lorenz96_smoke", data, *options, "--seed", seed, "--model.hidden", settings.hidden,
                "--train.steps", settings.steps, "--train.global_batch", settings.batch,
                "--train.backend", "none",
                "--train.validate_every", 0, "--train.checkpoint_every", 0,
                "--forecast.initial_conditions", settings.initial_conditions,
                "--forecast.horizon", settings.horizon,
            )  # fmt: skip
            result = read_result(run)
            valid.append(result.number("vpt_mean"))
            parameters = int(result.number("parameters"))
        found[label] = valid, parameters
    return found


def make(settings: Settings, workshop: Workshop) -> Made:
    """Draw the valid prediction time of every run."""
    found = scores(settings, workshop)
    rows = {f"{label} ({parameters:,})": valid for label, (valid, parameters) in found.items()}
    means = {label: few_runs_interval(valid) for label, (valid, _) in found.items()}
    gated = {label: m for label, m in means.items() if not label.startswith("no gates")}
    best = max(gated, key=lambda label: gated[label].value)
    close = [name for name, m in gated.items() if name != best and m.high >= gated[best].low]
    sentence = (
        f"After {settings.steps} equal steps, a short training, {len(settings.seeds)} seeds of the "
        f"gated cells reach {min(m.value for m in gated.values()):.2f} to {gated[best].value:.2f} "
        f"Lyapunov times on average and the vanilla network "
        f"{means['no gates (vanilla)'].value:.2f}; the best is {best}, and the 95 % intervals of "
        f"{' and '.join(close) or 'no other'} reach into its own."
    )
    picture = dot_plot(
        {"VPT": rows}, xlabel="valid prediction time (Lyapunov times)", name="variants",
        title=f"Lorenz-96, {settings.steps} steps each (parameters in brackets)",
    )  # fmt: skip
    return Made(sentence, [picture], workshop.commands)
