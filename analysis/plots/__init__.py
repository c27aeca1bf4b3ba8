"""Pictures, one function per figure; each returns a :class:`Picture` to write or embed."""

from analysis.plots.climate import attractors, lyapunov_spectra, spectra
from analysis.plots.communication import allreduce, rank_heat_map
from analysis.plots.costs import fractions, skill_and_cost, time_to_quality
from analysis.plots.forecasts import nrmse_over_time, space_time
from analysis.plots.jobs import gantt
from analysis.plots.judgement import forest, residuals
from analysis.plots.scaling import scaling
from analysis.plots.style import Picture
from analysis.plots.training import loss_curves

__all__ = [
    "Picture",
    "allreduce",
    "attractors",
    "forest",
    "fractions",
    "gantt",
    "loss_curves",
    "lyapunov_spectra",
    "nrmse_over_time",
    "rank_heat_map",
    "residuals",
    "scaling",
    "skill_and_cost",
    "space_time",
    "spectra",
    "time_to_quality",
]
