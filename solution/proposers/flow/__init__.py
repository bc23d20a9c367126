"""The direct flow regressor: block correlations of learned features, coarse to fine."""
