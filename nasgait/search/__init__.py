"""Evolutionary search: budgets, breeding, selection and the ledger; neither torch nor gait."""
