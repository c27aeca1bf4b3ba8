"""Pictures, one function per figure; each returns a :class:`Picture` to write or embed."""

from analysis.plots.forecasts import nrmse_over_time, space_time
from analysis.plots.scaling import scaling
from analysis.plots.style import Picture
from analysis.plots.training import loss_curves

__all__ = ["Picture", "loss_curves", "nrmse_over_time", "scaling", "space_time"]
