"""Training methods by name.

A method (:class:`hpcbench.methods.method.Method`) is a module that holds the forecaster and gives
the loss of a window and the state carried to the next one: ``method(states, state, random) ->
(loss, state)``. Being a module, the whole of it is what a data-parallel wrapper sees, so a method
may call the forecaster as often as it likes. A method may also take the step itself. Each has a
file of its own with a class built as ``Method(forecaster, options)`` and an ``Options``
configuration class for what only this method knows.
"""

import importlib
from typing import Any

METHODS = {
    "bptt_by_hand": "hpcbench.methods.bptt_by_hand:BPTTByHand",
    "fast_onestep": "hpcbench.methods.fast_split:FastOneStep",
    "fast_random": "hpcbench.methods.fast_random:FastRandom",
    "fast_split": "hpcbench.methods.fast_split:FastSplit",
    "fast_trace": "hpcbench.methods.fast_trace:FastTrace",
    "generalized_forcing": "hpcbench.methods.generalized_forcing:GeneralizedForcing",
    "hessian_free": "hpcbench.methods.hessian_free:HessianFree",
    "levenberg_marquardt": "hpcbench.methods.levenberg_marquardt:LevenbergMarquardt",
    "multi_step": "hpcbench.methods.multi_step:MultiStep",
    "pushforward": "hpcbench.methods.multi_step:Pushforward",
    "ridge": "hpcbench.methods.ridge:Ridge",
    "rtrl": "hpcbench.methods.rtrl:RealTimeRecurrentLearning",
    "scheduled_sampling": "hpcbench.methods.scheduled_sampling:ScheduledSampling",
    "sparse_forcing": "hpcbench.methods.sparse_forcing:SparseForcing",
    "tbptt": "hpcbench.methods.tbptt:TruncatedBPTT",
    "tbptt_k1_k2": "hpcbench.methods.overlapping_tbptt:OverlappingTBPTT",
    "uoro": "hpcbench.methods.uoro:UnbiasedOnlineRecurrentOptimization",
}
"""Method name → where its class is; imported only when used."""


def method_class(name: str) -> Any:
    """Return the class of a registered training method."""
    module, _, attribute = METHODS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
