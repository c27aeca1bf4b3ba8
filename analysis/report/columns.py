"""The columns that readers see, table by table, with their headings."""

from analysis.report.formatting import numeric, plain, ranged, whole

ACCURACY = (
    plain("run"), plain("system"), plain("model"), plain("method"), plain("variant", "settings"),
    plain("backend"), whole("ranks"),
    ranged("vpt", "VPT mean (95 % interval), Lyapunov times", "vpt_mean"),
    numeric("vpt_median", "VPT median"), numeric("vpt_censored_share", "censored share"),
    whole("n", "initial conditions"), numeric("vpt_persistence", "VPT of persistence"),
    numeric("vpt_climatology", "VPT of climatology"),
    numeric("nrmse_ratio_persistence_0.5", "error / persistence at 0.5"),
    numeric("nrmse_ratio_climatology_0.5", "error / climatology at 0.5"),
    numeric("nrmse_0.25", "NRMSE at 0.25"), numeric("nrmse_0.5", "NRMSE at 0.5"),
    numeric("nrmse_1", "NRMSE at 1"), numeric("nrmse_2", "NRMSE at 2"),
    numeric("spectrum_error", "spectrum error, log10"),
    numeric("lyapunov_exponent", "λ₁ of the system"),
    numeric("lyapunov_exponent_model", "λ₁ of the model"),
    numeric("kaplan_yorke", "Kaplan–Yorke, system"),
    numeric("kaplan_yorke_model", "Kaplan–Yorke, model"),
    numeric("training_seconds", "training, s"), numeric("node_hours"),
    numeric("time_to_target_seconds", "to the target, s"),
    numeric("samples_to_target", "samples to the target"),
    numeric("node_hours_to_target", "node hours to the target"),
    numeric("energy_to_target_joules", "energy to the target, J"),
    numeric("peak_memory_bytes", "peak memory, bytes"),
    whole("parameters_count", "parameters"),
)  # fmt: skip
METHODS = (
    plain("system"), plain("model"), plain("method"), plain("variant", "settings"),
    whole("n", "runs"),
    ranged("vpt", "VPT over runs (95 % interval)"), numeric("mean_rank"),
    numeric("p_value", "p against the best"), plain("verdict"),
    numeric("training_seconds", "training, s"), numeric("reached", "share that reached the target"),
    numeric("time_to_target_seconds", "to the target, s"),
    numeric("samples_to_target", "samples to the target"),
    numeric("peak_memory_bytes", "peak memory, bytes"),
)  # fmt: skip
CORRELATIONS = (
    plain("system"), plain("score"), ranged("rho", "Spearman ρ with VPT (95 % interval)"),
    whole("n", "runs"),
    numeric("p_value", "p"),
)  # fmt: skip
SCALING = (
    plain("label", "what"), plain("mode"), plain("backend"), whole("ranks"),
    ranged("step_seconds", "step time (95 % interval), s"), whole("n"),
    plain("interval_over", "n counts"), whole("base_ranks"), numeric("base_seconds", "base, s"),
    ranged("speed_up", "speed-up"), ranged("efficiency", "efficiency"),
    numeric("sequences_per_second", "sequences / s"), numeric("predicted_seconds", "predicted, s"),
    whole("nodes"), numeric("node_hours"), numeric("energy_joules", "energy, J"),
    whole("n_ok", "ok"), whole("n_failed", "failed"), whole("n_missing", "missing"),
)  # fmt: skip
FRACTIONS = (
    plain("label", "what"), plain("backend"), whole("ranks"), numeric("compute"),
    numeric("load_balance"), numeric("data_wait"), numeric("exposed_communication"),
    numeric("product"), numeric("efficiency"), numeric("residual"),
    numeric("exposed_seconds", "exposed, s"), plain("exposed_from", "exposed from"),
)  # fmt: skip
FITS = (
    plain("label", "what"), plain("backend"), plain("law"), plain("parameter"),
    ranged("value_", "value (95 % interval)", "value"),
    plain("not_identifiable", "not identifiable"), numeric("aicc", "AICc"),
    numeric("left_out_error", "left-out error"), whole("points"),
)  # fmt: skip
PROJECTION = (
    plain("label", "what"), plain("backend"), plain("law"), whole("ranks"),
    ranged("seconds_", "step time (95 % interval), s", "seconds"),
    whole("largest_measured", "largest measured"), plain("is_projection", "projection"),
)  # fmt: skip
BASELINES = (
    plain("label", "what"), plain("backend"), whole("ranks"), whole("runs"),
    numeric("allreduce_latency_seconds", "α, s"),
    numeric("allreduce_bytes_per_second", "1/β, bytes/s"),
    numeric("gradient_bytes", "gradient, bytes"),
    numeric("allreduce_seconds", "averaging it predicted, s"),
    numeric("exposed_seconds", "exposed measured, s"),
    numeric("batch_bytes", "batch, bytes"),
    numeric("read_first_bytes_per_second", "read first, bytes/s"),
    numeric("read_again_bytes_per_second", "read again, bytes/s"),
    numeric("read_seconds", "reading it predicted, s"),
    numeric("data_seconds", "data wait measured, s"),
    numeric("write_bytes_per_second", "write, bytes/s"),
)  # fmt: skip
QUALITY = (
    plain("label", "what"), plain("backend"), plain("target"), whole("ranks"),
    whole("base_ranks"), numeric("seconds_to_target", "time to target, s"),
    numeric("samples_to_target", "samples"), numeric("node_hours_to_target", "node hours"),
    numeric("energy_to_target_joules", "energy, J"),
    numeric("speed_up", "speed-up"), ranged("e_tts", "E_tts"), numeric("e_system", "E_sys"),
    numeric("e_algorithmic", "E_alg"), whole("n_reached", "reached"), whole("n_ok", "of"),
)  # fmt: skip
BACK_ENDS = (
    plain("label", "what"), whole("n_a", "runs, base"), whole("n_b", "runs"),
    ranged("ratio", "ratio (95 % interval)"), numeric("p_value", "p"), plain("verdict"),
)  # fmt: skip
TIMINGS = (
    plain("run"), plain("backend"), whole("ranks"), whole("steps"),
    whole("warm_up_steps", "warm-up"), whole("warm_up_detected", "warm-up detected"),
    numeric("seconds_all", "all, s"), numeric("seconds_timed", "timed, s"),
    numeric("median_seconds", "median, s"), numeric("p95_seconds", "p95, s"),
    numeric("p99_seconds", "p99, s"), numeric("max_seconds", "max, s"), whole("outliers"),
    numeric("drift"), numeric("autocorrelation"),
)  # fmt: skip
ATTEMPTS = (
    plain("run"), plain("state"), whole("ranks"), plain("site"), plain("job_id", "job"),
    plain("nodes"), numeric("queue_seconds", "queue, s"), numeric("launch_seconds", "launch, s"),
    numeric("init_seconds", "init, s"), numeric("run_seconds", "run, s"),
)  # fmt: skip
UNFINISHED = (plain("study"), plain("run"), plain("state"), plain("reason"))
