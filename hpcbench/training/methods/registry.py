"""Training methods by name.

A method (:class:`~hpcbench.training.methods.method.Method`) is a module that holds the forecaster
and gives the loss of a window and the state carried to the next one: ``method(states, state,
random) -> (loss, state)``. Being a module, the whole of it is what a data-parallel wrapper sees, so
a method may call the forecaster as often as it likes. A method may also take the step itself. Each
has a file of its own with a class built as ``Method(forecaster, options)`` and an ``Options``
configuration class for what only this method knows.

A method of one's own needs no change here: an installed package offers it as an entry point of
the group ``hpcbench.methods``, or ``method = "module:Class"`` names it
(:mod:`hpcbench.config.registry`).
"""

from typing import Any

from hpcbench.config.registry import Registry

METHODS = Registry(
    field="train.method",
    noun="method",
    group="hpcbench.methods",
    base="hpcbench.training.methods.method:Method",
    package="hpcbench.training.methods",
    entries={
        "bptt_by_hand": "backpropagation.bptt_by_hand:BPTTByHand",
        "fast_onestep": "split.fast_split:FastOneStep",
        "fast_random": "split.fast_random:FastRandom",
        "fast_split": "split.fast_split:FastSplit",
        "fast_trace": "split.fast_trace:FastTrace",
        "generalized_forcing": "forcing.generalized_forcing:GeneralizedForcing",
        "hessian_free": "second_order.hessian_free:HessianFree",
        "levenberg_marquardt": "second_order.levenberg_marquardt:LevenbergMarquardt",
        "multi_step": "forcing.multi_step:MultiStep",
        "pushforward": "forcing.multi_step:Pushforward",
        "ridge": "ridge:Ridge",
        "rtrl": "online.rtrl:RealTimeRecurrentLearning",
        "scheduled_sampling": "forcing.scheduled_sampling:ScheduledSampling",
        "sparse_forcing": "forcing.sparse_forcing:SparseForcing",
        "tbptt": "backpropagation.tbptt:TruncatedBPTT",
        "tbptt_k1_k2": "backpropagation.overlapping_tbptt:OverlappingTBPTT",
        "uoro": "online.uoro:UnbiasedOnlineRecurrentOptimization",
    },
    options="Options",
    built_with=("forecaster", "options"),
)
"""Method name → where its class is; imported only when used."""


def method_class(name: str) -> Any:
    """Return the class of a method; raise :class:`InputError` naming the valid methods."""
    return METHODS.load(name)
