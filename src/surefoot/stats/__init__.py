"""Statistics that keep their promise: pure functions on arrays, vectorised over cells."""

from surefoot.stats.auc import auc_difference, auc_interval
from surefoot.stats.betting import (
    Wealth,
    excess_capital,
    first_wealth,
    highest_rate,
    next_wealth,
    reached,
)
from surefoot.stats.bootstrap import (
    Resampled,
    bca_interval,
    bca_p_value,
    percentile_interval,
    resample,
    resample_counts,
)
from surefoot.stats.bracket import Bracket, bracket, probes_needed
from surefoot.stats.clusters import (
    clustered_inferiority,
    clustered_noninferiority,
    clustered_proportions,
)
from surefoot.stats.crossed import Variances, crossed_mean, crossed_p_value, crossed_variances
from surefoot.stats.excess import excess_p_value
from surefoot.stats.independent import independent_sum
from surefoot.stats.interval import Interval
from surefoot.stats.means import mean_p_value, paired_mean
from surefoot.stats.multiplicity import holm, max_t, simultaneous_level, spending
from surefoot.stats.power import (
    release_power,
    release_rows,
    rows_needed,
    share_power,
    share_rows,
)
from surefoot.stats.proportions import (
    FEW,
    exact_mcnemar,
    inferiority,
    mcnemar,
    newcombe10,
    noninferiority,
    paired_proportions,
    proportion_at_least,
    proportion_at_most,
    proportion_interval,
    wilson_interval,
)
from surefoot.stats.quantiles import (
    BLOCKS,
    FEWEST,
    block_mean,
    block_mean_at_most,
    calls_needed,
    quantile_above,
    quantile_at_most,
    quantile_interval,
)
from surefoot.stats.reliability import Bins, reliability_bins, share_interval
from surefoot.stats.risk_control import (
    calibration_rows_needed,
    last_threshold,
    thresholds_passed,
)
from surefoot.stats.sequential import betting_interval, betting_p_value, mixture_p_value
from surefoot.stats.temperature import apply_temperature, temperature_interval

__all__ = [
    "BLOCKS",
    "FEW",
    "FEWEST",
    "Bins",
    "Bracket",
    "Interval",
    "Resampled",
    "Variances",
    "Wealth",
    "apply_temperature",
    "auc_difference",
    "auc_interval",
    "bca_interval",
    "bca_p_value",
    "betting_interval",
    "betting_p_value",
    "block_mean",
    "block_mean_at_most",
    "bracket",
    "calibration_rows_needed",
    "calls_needed",
    "clustered_inferiority",
    "clustered_noninferiority",
    "clustered_proportions",
    "crossed_mean",
    "crossed_p_value",
    "crossed_variances",
    "exact_mcnemar",
    "excess_capital",
    "excess_p_value",
    "first_wealth",
    "highest_rate",
    "holm",
    "independent_sum",
    "inferiority",
    "last_threshold",
    "max_t",
    "mcnemar",
    "mean_p_value",
    "mixture_p_value",
    "newcombe10",
    "next_wealth",
    "noninferiority",
    "paired_mean",
    "paired_proportions",
    "percentile_interval",
    "probes_needed",
    "proportion_at_least",
    "proportion_at_most",
    "proportion_interval",
    "quantile_above",
    "quantile_at_most",
    "quantile_interval",
    "reached",
    "release_power",
    "release_rows",
    "reliability_bins",
    "resample",
    "resample_counts",
    "rows_needed",
    "share_interval",
    "share_power",
    "share_rows",
    "simultaneous_level",
    "spending",
    "temperature_interval",
    "thresholds_passed",
    "wilson_interval",
]
