"""Silhouette data: store, importers, embedded dataset, splits, sampling."""
