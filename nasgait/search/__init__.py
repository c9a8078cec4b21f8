"""Evolutionary search in pure Python: budgets, ledger, breeding."""
