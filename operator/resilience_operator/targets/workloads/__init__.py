"""What the targets that are Deployments share: view, scalers, floors, budgets, rollouts, placement."""
